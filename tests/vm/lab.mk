# The laboratory (tests/vm/README.md). Included by the Makefile.

LAB := target/lab
LAB_KERNELS ?= uml-stable uml-newest
LAB_SHELL ?= uml-newest
# Patterns of the names of the jobs to run (tests/vm/jobs.toml).
LAB_JOBS ?= lab-* unit-* suite-*
# The disk of the machines: rootfs, or engines, which has container engines too.
LAB_DISK ?= rootfs
export LAB_DISK

lab_disk := $(LAB)/$(LAB_DISK).ext4
lab_kernel = $(LAB)/kernels/$(1)/.built

# Patterns of ENGINE-MANAGER-RUNTIME to play with (tests/engines), words of titles, and the kernel.
ENGINES ?= *
ENGINES_KERNEL ?= uml-newest
export LAB_WANTED

.PHONY: engines vm-test vm-more vm-compat vm-shell lab-deps lab-programs lab-clean

## Run the suite in virtual machines: cgroup v2, systemd, two kernels
vm-test: lab-deps lab-programs $(lab_disk) $(foreach name,$(LAB_KERNELS),$(call lab_kernel,$(name)))
	LAB_JOBS='$(LAB_JOBS)' tests/vm/vm-test $(LAB_KERNELS)

## What those two kernels lack: SELinux, and in a machine that is emulated more controllers
vm-more:
	$(MAKE) vm-test LAB_KERNELS='selinux qemu-stable'

## The same suite in the same machines, aimed at the packaged runtimes
vm-compat:
	$(MAKE) vm-test LAB_JOBS='compat-*'

## podman, Docker, containerd, buildah, systemd with cloison, crun and runc; then a table
engines:
	-$(MAKE) vm-test LAB_DISK=engines LAB_KERNELS=$(ENGINES_KERNEL) LAB_DEADLINE=$${LAB_DEADLINE:-36000} \
		LAB_JOBS='$(addprefix engine-,$(ENGINES))'
	python3 -B tests/engines/table.py $(LAB) tests/engines $(LAB)/engines $(ENGINES_KERNEL)

## A root shell in the machine LAB_SHELL
vm-shell: lab-deps lab-programs $(lab_disk) $(call lab_kernel,$(LAB_SHELL))
	tests/vm/vm-shell $(LAB_SHELL)

lab-deps:
	tests/vm/deps

lab-programs: build
	python3 -B tests/vm/programs.py $(LAB)/bin $(BINARY)

$(lab_disk): tests/vm/build-rootfs tests/vm/settings $(shell find tests/vm/guest -type f) | lab-deps
	tests/vm/build-rootfs

# Built once; lab-clean fetches newer kernels.
$(LAB)/kernels/%/.built: tests/vm/build-kernel tests/vm/unpack tests/vm/settings tests/vm/xstate.c | lab-deps
	tests/vm/build-kernel $*

## Forget the disk and the kernels
lab-clean:
	rm -rf $(LAB)
