################################################################################
#
# rackboot-loaders
#
################################################################################

# What is installed stands in a list, which the emulated board of the tests
# is made from as well.
RACKBOOT_LOADERS_LIST := $(BR2_EXTERNAL_RACKBOOT_PATH)/package/rackboot-loaders/loaders.list
RACKBOOT_LOADERS_VERSION := $(shell sed -n 's/^snapshot //p' $(RACKBOOT_LOADERS_LIST))
RACKBOOT_LOADERS_DEBS := $(shell sed -n 's/^binary \([^ ]*\).*/\1/p' $(RACKBOOT_LOADERS_LIST))
RACKBOOT_LOADERS_FILES := $(shell sed -n 's/^binary [^ ]* //p' $(RACKBOOT_LOADERS_LIST))
RACKBOOT_LOADERS_ORIGINS := $(shell sed -n 's/^source //p' $(RACKBOOT_LOADERS_LIST))

RACKBOOT_LOADERS_POOL = https://snapshot.debian.org/archive/debian/$(RACKBOOT_LOADERS_VERSION)/pool/main
RACKBOOT_LOADERS_SITE = $(RACKBOOT_LOADERS_POOL)/$(patsubst %/,%,$(dir $(firstword $(RACKBOOT_LOADERS_DEBS))))
RACKBOOT_LOADERS_SOURCE = $(notdir $(firstword $(RACKBOOT_LOADERS_DEBS)))
RACKBOOT_LOADERS_EXTRA_DOWNLOADS = \
	$(addprefix $(RACKBOOT_LOADERS_POOL)/,$(filter-out $(firstword $(RACKBOOT_LOADERS_DEBS)),$(RACKBOOT_LOADERS_DEBS)))
RACKBOOT_LOADERS_LICENSE = BSD-2-Clause (shim), GPL-3.0+ (GRUB), GPL-2.0+ (iPXE)
RACKBOOT_LOADERS_LICENSE_FILES = \
	usr/share/doc/shim-signed/copyright \
	grub/COPYING \
	usr/share/doc/ipxe/copyright
# Nothing here is for the board's processor.
RACKBOOT_LOADERS_ADD_TOOLCHAIN_DEPENDENCY = NO
RACKBOOT_LOADERS_EXTRACT_DEPENDENCIES = $(BR2_XZCAT_HOST_DEPENDENCY)

define RACKBOOT_LOADERS_EXTRACT_CMDS
	$(foreach deb,$(notdir $(RACKBOOT_LOADERS_DEBS)),\
		$(HOSTAR) p $(RACKBOOT_LOADERS_DL_DIR)/$(deb) data.tar.xz | \
			$(XZCAT) | $(TAR) -C $(@D) $(TAR_OPTIONS) -$(sep))
endef

define RACKBOOT_LOADERS_INSTALL_TARGET_CMDS
	$(foreach file,$(RACKBOOT_LOADERS_FILES),\
		$(INSTALL) -D -m 0644 $(@D)$(file) $(TARGET_DIR)$(file)$(sep))
endef

# Whoever hands out a card owes the sources of GRUB and iPXE with it. The
# licence of GRUB is in no binary package.
define RACKBOOT_LOADERS_GET_ORIGINS
	$(foreach origin,$(RACKBOOT_LOADERS_ORIGINS),\
		$(call DOWNLOAD,$(RACKBOOT_LOADERS_POOL)/$(origin))$(sep))
	mkdir -p $(RACKBOOT_LOADERS_DIR)/grub
	$(XZCAT) $(RACKBOOT_LOADERS_DL_DIR)/$(notdir $(filter g/grub2/%.orig.tar.xz,$(RACKBOOT_LOADERS_ORIGINS))) | \
		$(TAR) -C $(RACKBOOT_LOADERS_DIR)/grub --strip-components=1 \
			--wildcards $(TAR_OPTIONS) - '*/COPYING'
endef
RACKBOOT_LOADERS_PRE_LEGAL_INFO_HOOKS += RACKBOOT_LOADERS_GET_ORIGINS

define RACKBOOT_LOADERS_SAVE_ORIGINS
	$(foreach origin,$(notdir $(RACKBOOT_LOADERS_ORIGINS)),\
		support/scripts/hardlink-or-copy \
			$(RACKBOOT_LOADERS_DL_DIR)/$(origin) \
			$(RACKBOOT_LOADERS_REDIST_SOURCES_DIR)$(sep))
endef
RACKBOOT_LOADERS_POST_LEGAL_INFO_HOOKS += RACKBOOT_LOADERS_SAVE_ORIGINS

$(eval $(generic-package))
