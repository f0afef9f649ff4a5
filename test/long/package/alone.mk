# Runs the very commands of firmware/package/rackboot/rackboot.mk outside of Buildroot: what Buildroot would set is set here, with any
# cross compiler. Variables: OUT (with the staged sources in OUT/source), SYSROOT, NODE_HEADERS, CROSS.
TOP := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../../..
TARGET_DIR := $(OUT)/target
STAGING_DIR := $(OUT)/staging
TARGET_CXX := $(CROSS)g++
TARGET_CXXFLAGS := -O2
TARGET_LDFLAGS :=
TARGET_MAKE_ENV :=
PKG_CONFIG_PATHS := PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$(SYSROOT)
TARGET_CONFIGURE_OPTS := CXX="$(TARGET_CXX)" CXXFLAGS="$(TARGET_CXXFLAGS)" PKG_CONFIG="env $(PKG_CONFIG_PATHS) pkg-config"
define sep


endef
# Buildroot makes rules of a package here.
generic-package :=
include $(TOP)/firmware/package/rackboot/rackboot.mk

.PHONY: all
all: $(OUT)/source/
	mkdir -p $(STAGING_DIR)/usr/include $(TARGET_DIR)/usr/bin
	cp -aL $(NODE_HEADERS) $(STAGING_DIR)/usr/include/node
	$(RACKBOOT_BUILD_CMDS)
	$(RACKBOOT_INSTALL_TARGET_CMDS)

all: @D = $(OUT)/source
