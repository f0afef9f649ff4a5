# rackboot: every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

STAMPS := node_modules/.rackboot
ADDON := dist/src/native/rackboot.node

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | while IFS=$$'\t' read -r t d; do printf '  make %-14s %s\n' "$$t" "$$d"; done

.PHONY: packages
packages: ## Install the Debian packages that building, testing and the demo need
	@test/setup/packages.sh build demo test

$(STAMPS)/npm: package.json package-lock.json
	@test/setup/packages.sh build
	@echo "setup: npm packages"
	@npm ci --no-fund --no-audit --ignore-scripts
	@npm rebuild --no-fund --no-audit node
	@# onoff's native half is bound to one Node's headers: it is built against the very Node that will load it.
	@node-gyp rebuild --silent -C node_modules/epoll --nodedir="$$PWD/node_modules/node/node_modules/node-linux-$$(node -p process.arch)"
	@mkdir -p $(@D) && touch $@

.PHONY: build
build: $(STAMPS)/npm ## Build the daemon and its native part into dist/
	@npm run --silent build
	@ln -sfn ../../dist/src/main.js node_modules/.bin/rackboot
	@$(MAKE) --no-print-directory -C src/native
	@$(MAKE) --no-print-directory -C src/native/look
	@$(MAKE) --no-print-directory -C src/native/restart
	@$(MAKE) --no-print-directory -C src/native/supervise

.PHONY: lint
lint: $(STAMPS)/npm ## Check types, style, import layers and C++ formatting
	@npm run --silent typecheck
	@npm run --silent lint
	@$(MAKE) --no-print-directory -C src/native lint
	@$(MAKE) --no-print-directory -C test/bench/loadgen lint
	@$(MAKE) --no-print-directory -C test/bench/flush lint
	@$(MAKE) --no-print-directory -C test/bench/tftp lint

.PHONY: test
test: build ## Everything: lint, unit, native, peers, whole machines (under 45 minutes on 2 cores)
	@test/setup/packages.sh build demo test
	@$(MAKE) --no-print-directory lint
	@node test/run.ts unit native peers netboot board

.PHONY: board-test
board-test: build ## A part of it: the appliance as an emulated ARM board, driven over its serial line as a person would
	@test/setup/packages.sh build demo test
	@node test/run.ts board

.PHONY: test-long
test-long: build ## What takes hours: soaks, many kills, long fuzzing; records under test/results/
	@test/setup/packages.sh build demo test
	@node test/run.ts long

.PHONY: rack-test
rack-test: build ## A part of it: a machine without a disk boots from the emulated ARM board to its login
	@test/setup/packages.sh build demo test
	@node_modules/.bin/vitest run --project long test/long/rack.test.ts

.PHONY: demo
demo: build ## Watch a machine without a disk boot Linux from this one (KEEP=1 keeps it up)
	@test/setup/packages.sh build demo
	@node test/demo/demo.ts $(if $(KEEP),--keep)

.PHONY: bench
bench: build ## Our target, tgt and istgt side by side: rates and processor time (BENCH="--quick": the short one)
	@test/setup/packages.sh build test
	@node test/bench/bench.ts $(BENCH)

.PHONY: bench-flushes
bench-flushes: build ## Ways to flush many disks of one file system, beside each other
	@node test/bench/flushes.ts $(BENCH)

.PHONY: bench-volumes
bench-volumes: build ## What clones, snapshots and lists of disks cost, as a curve
	@test/setup/packages.sh test
	@node test/bench/volume-figures.ts

.PHONY: image
image: build ## A board's card: BOARD=rpi4|rpi5|qemu, BUILDROOT=DIR (default: the pinned release is downloaded)
	@firmware/image.sh "$(BOARD)" $(BUILDROOT)

.PHONY: image-check
image-check: build ## The image's tree on a real Buildroot: BUILDROOT=DIR; QUICK=1 without building, DEBIAN=1 with Debian's compiler
	@firmware/check.sh "$(BUILDROOT)" $(if $(QUICK),--quick,$(if $(DEBIAN),--debian-toolchain))

.PHONY: bench-storm
bench-storm: build ## A boot storm: forty clones of one disk read at once, beside tgt and istgt (BENCH="--quick": the short one)
	@test/setup/packages.sh build test
	@node test/bench/storm.ts $(BENCH)

.PHONY: bench-tftp
bench-tftp: build ## TFTP beside atftpd, tftpd-hpa and dnsmasq: lock step, windows, lost blocks, forty at once
	@test/setup/packages.sh build test
	@node test/bench/tftp.ts $(BENCH)

.PHONY: bench-http
bench-http: build ## HTTP beside nginx: a cached gigabyte, and forty downloads at once
	@test/setup/packages.sh build test
	@node test/bench/http.ts $(BENCH)

.PHONY: bench-grub
bench-grub: build ## What GRUB takes for a kernel and an initramfs: by TFTP, by HTTP, and from dnsmasq
	@test/setup/packages.sh demo test
	@node test/bench/grub.ts $(BENCH)

.PHONY: bench-looks
bench-looks: build ## How long a machine waits for the menu that its own disk asks for
	@test/setup/packages.sh demo test
	@node test/bench/look-figures.ts

.PHONY: bench-dhcp
bench-dhcp: build ## Leases a second: ours, Kea and dnsmasq, asked by perfdhcp (BENCH="--rounds 1": the short one)
	@test/setup/packages.sh build test
	@node test/bench/dhcp.ts $(BENCH)

.PHONY: schema
schema: build ## Write docs/rackboot.schema.json anew
	@node dist/src/main.js schema > docs/rackboot.schema.json

.PHONY: legend
legend: build ## Draw docs/lamps.svg anew from the table that lights the lamps
	@node dist/board/legend.js > docs/lamps.svg

.PHONY: clean
clean: ## Remove what was built
	rm -rf dist
	@$(MAKE) --no-print-directory -C src/native clean
	@$(MAKE) --no-print-directory -C src/native/look clean
	@$(MAKE) --no-print-directory -C src/native/restart clean
	@$(MAKE) --no-print-directory -C src/native/supervise clean
