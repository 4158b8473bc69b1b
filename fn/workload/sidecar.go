package workload

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// instanceOptions are the flags of the Cloud SQL Auth Proxy that are of its instances. It
// takes each for all of them, or after one, as <instance>?port=5432&psc=true, and then for
// that one. An instance can't take back what a flag says of all (cloud-sql-proxy,
// cmd/root.go, parseConfig, and internal/proxy/proxy.go), so where there are several,
// each has its own.
var instanceOptions = []string{"--private-ip", "--psc", "--auto-iam-authn"}

// portOption is where an argument that is an instance says on which port the proxy
// listens for it.
const portOption = "?port="

// argsOf a sidecar: what it connects to, each instance with the options that are its own,
// and the flags beside them.
func argsOf(s claim.Sidecar) (instances, flags []string) {
	var options strings.Builder
	for _, a := range s.Args {
		switch {
		case strings.Contains(a, portOption):
			instances = append(instances, a)
		case slices.Contains(instanceOptions, a):
			options.WriteString("&" + strings.TrimPrefix(a, "--") + "=true")
		default:
			flags = append(flags, a)
		}
	}
	for i := range instances {
		instances[i] += options.String()
	}
	return instances, flags
}

// withArgs is a sidecar that connects to instances. The options of a single one are
// flags, as they were before there could be several.
func withArgs(s claim.Sidecar, instances, flags []string) claim.Sidecar {
	if len(instances) == 1 {
		instance, options, _ := strings.Cut(instances[0], "&")
		instances, flags = []string{instance}, slices.Clone(flags)
		for option := range strings.SplitSeq(options, "&") {
			if name, ok := strings.CutSuffix(option, "=true"); ok {
				flags = append(flags, "--"+name)
			}
		}
	}
	s.Args = slices.Concat(instances, flags)
	return s
}

// portOf an instance, as it is written.
func portOf(instance string) string {
	_, options, _ := strings.Cut(instance, portOption)
	port, _, _ := strings.Cut(options, "&")
	return port
}

// sidecars of two injections. One of a name is there once, and connects to all instances.
func (j *joiner) sidecars(merged, more []claim.Sidecar) []claim.Sidecar {
	for _, s := range more {
		i := slices.IndexFunc(merged, func(m claim.Sidecar) bool { return m.Name == s.Name })
		if i < 0 || equality.Semantic.DeepEqual(merged[i], s) {
			merged = join(j, "container", merged, []claim.Sidecar{s}, func(s claim.Sidecar) string { return s.Name }, func(s claim.Sidecar) string { return s.Image })
			continue
		}
		if !sameButArgs(merged[i], s) {
			j.differ("container \""+s.Name+"\"", merged[i].Image, s.Image)
			continue
		}
		instances, flags := argsOf(merged[i])
		others, otherFlags := argsOf(s)
		for _, o := range others {
			if slices.Contains(instances, o) {
				continue
			}
			if at := slices.IndexFunc(instances, func(i string) bool { return portOf(i) == portOf(o) }); at >= 0 {
				j.differ("port "+portOf(o)+" of container \""+s.Name+"\"", instances[at], o)
				continue
			}
			instances = append(instances, o)
		}
		slices.Sort(instances)
		for _, f := range otherFlags {
			if !slices.Contains(flags, f) {
				flags = append(flags, f)
			}
		}
		merged = slices.Clone(merged)
		merged[i] = withArgs(merged[i], instances, flags)
	}
	return merged
}

// sameButArgs says whether two sidecars are one, which may connect to different
// instances.
func sameButArgs(a, b claim.Sidecar) bool {
	a.Args, b.Args = nil, nil
	return equality.Semantic.DeepEqual(a, b)
}

// instanceOf a sidecar that listens on a port: the sidecar as it would be with it alone,
// and whether there is one.
func instanceOf(s claim.Sidecar, port string) (claim.Sidecar, bool) {
	instances, flags := argsOf(s)
	i := slices.IndexFunc(instances, func(i string) bool { return portOf(i) == port })
	if i < 0 {
		return claim.Sidecar{}, false
	}
	return withArgs(s, instances[i:i+1], flags), true
}
