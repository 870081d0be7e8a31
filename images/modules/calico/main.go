// Every Calico program in one binary; the name it is called by chooses.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/projectcalico/calico/cni-plugin/pkg/install"
	"github.com/projectcalico/calico/cni-plugin/pkg/ipamplugin"
	"github.com/projectcalico/calico/cni-plugin/pkg/plugin"
	"github.com/projectcalico/calico/pkg/buildinfo"

	"barque/images/calico/gen/calicoctl"
	"barque/images/calico/gen/checkstatus"
	"barque/images/calico/gen/kubecontrollers"
	"barque/images/calico/gen/node"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "calico-node":
		// Felix's clean-up of the eBPF load balancer needs libbpf, which this build without cgo has not; there is
		// nothing to clean up, since its eBPF mode cannot run here.
		os.Setenv("FELIX_DebugSkipCTLBCleanup", "true")
		// On a node without rules yet Felix would guess the legacy tables, which this image has no programs for.
		felixDefault("FELIX_IPTABLESBACKEND", "NFT")
		node.Main()
	case "calico":
		plugin.Main(buildinfo.Version)
	case "calico-ipam":
		ipamplugin.Main(buildinfo.Version)
	case "install":
		if err := install.Install(buildinfo.Version); err != nil {
			fmt.Fprintln(os.Stderr, "CNI plugin not installed:", err)
			os.Exit(1)
		}
	case "calico-kube-controllers":
		kubecontrollers.Main()
	case "check-status":
		checkstatus.Main()
	case "calicoctl":
		calicoctl.Main()
	default:
		fmt.Fprintln(os.Stderr, "no Calico program is called", name)
		os.Exit(2)
	}
}

// felixDefault sets a Felix setting that the environment does not have. Felix ignores the case of its variables.
func felixDefault(name, value string) {
	for _, variable := range os.Environ() {
		if set, _, _ := strings.Cut(variable, "="); strings.EqualFold(set, name) {
			return
		}
	}
	os.Setenv(name, value)
}
