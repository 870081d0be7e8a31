// The CNI plugins in one binary; the name it is called by chooses.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"barque/images/cni-plugins/gen/bandwidth"
	"barque/images/cni-plugins/gen/bridge"
	hostlocal "barque/images/cni-plugins/gen/host-local"
	"barque/images/cni-plugins/gen/loopback"
	"barque/images/cni-plugins/gen/portmap"
	"barque/images/cni-plugins/gen/tuning"
)

func main() {
	name := filepath.Base(os.Args[0])
	plugin, ok := map[string]func(){
		"bandwidth":  bandwidth.Main,
		"bridge":     bridge.Main,
		"host-local": hostlocal.Main,
		"loopback":   loopback.Main,
		"portmap":    portmap.Main,
		"tuning":     tuning.Main,
	}[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "no CNI plugin is called", name)
		os.Exit(2)
	}
	plugin()
}
