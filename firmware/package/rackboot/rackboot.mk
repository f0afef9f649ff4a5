################################################################################
#
# rackboot
#
################################################################################

# firmware/stage.sh puts what is needed there: compiled JavaScript, the npm
# packages of package-lock.json that run on a board, and the C++ sources.
RACKBOOT_VERSION = local
RACKBOOT_SITE = $(BR2_EXTERNAL_RACKBOOT_PATH)/../build/firmware/source
RACKBOOT_SITE_METHOD = local
RACKBOOT_LICENSE = MIT, others (see node_modules)
RACKBOOT_LICENSE_FILES = LICENSE LICENSE.node_modules
RACKBOOT_DEPENDENCIES = host-pkgconf liburing nodejs-prebuilt

RACKBOOT_NATIVE = . look supervise restart

# onoff's native half is bound to one Node.js: the headers are those of the
# runtime that will load it.
define RACKBOOT_BUILD_CMDS
	$(foreach part,$(RACKBOOT_NATIVE),\
		$(TARGET_MAKE_ENV) $(TARGET_CONFIGURE_OPTS) $(MAKE) \
			-C $(@D)/src/native/$(part) WERROR= \
			NODE_MODULES=$(@D)/build-headers$(sep))
	mkdir -p $(@D)/node_modules/epoll/build/Release
	$(TARGET_CXX) $(TARGET_CXXFLAGS) -std=c++20 -shared -fPIC \
		-Wno-deprecated-declarations -Wno-cast-function-type \
		-DNODE_GYP_MODULE_NAME=epoll -I $(STAGING_DIR)/usr/include/node \
		-I $(@D)/build-headers/nan $(TARGET_LDFLAGS) \
		-o $(@D)/node_modules/epoll/build/Release/epoll.node \
		$(@D)/node_modules/epoll/src/epoll.cc
endef

define RACKBOOT_INSTALL_TARGET_CMDS
	mkdir -p $(TARGET_DIR)/usr/lib/rackboot $(TARGET_DIR)/usr/bin
	cp -a $(@D)/dist $(@D)/node_modules $(@D)/package.json \
		$(TARGET_DIR)/usr/lib/rackboot/
	rm -rf $(TARGET_DIR)/usr/lib/rackboot/node_modules/epoll/src
	ln -sf ../lib/rackboot/dist/src/main.js $(TARGET_DIR)/usr/bin/rackboot
endef

$(eval $(generic-package))
