package workload

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// Forms are what an injection may hold, so that a status which was written by
// hand gives a pod nothing but what the function emits, and nothing that the API
// server would refuse the pod for. The admission policy in package/cluster has
// them in CEL: generate writes Env, Labels and Tokens there, and test/admission
// compares the rest.
type Forms struct {
	// Env are the variables, each with the regular expression of its value. A
	// value can't refer to another variable as $(NAME).
	Env map[string]string

	// Variables are those of Env that a connection may give under other names, with the
	// same values.
	Variables []Variable

	// Labels of pods, each with its only value.
	Labels map[string]string

	// Tokens are the volumes of service account tokens, by name.
	Tokens map[string]Token

	// Disk is the name of the only other volumes: that of a connection without a name,
	// after which those that have one are Named.
	Disk string

	// Most of one type that a service has: so many disks, and instances of the sidecar.
	Most int

	// Sidecar is the only container.
	Sidecar SidecarForm
}

// A Token of a service account, and where it is mounted.
type Token struct {
	Audience  string
	Path      string
	MountPath string
}

// A SidecarForm is a container of which only the image, the instance and the
// resources are free.
type SidecarForm struct {
	// Name of the container.
	Name string

	// Instance is the regular expression of the arguments that aren't among Flags:
	// what to connect to, after ?port= the port to listen on, and then options.
	Instance string
	Flags    []string

	// PortVariable says on which port the sidecar listens for a connection.
	PortVariable string

	// Port that it may declare, and that its probes ask.
	Port claim.ContainerPort

	// Probes are the paths that its probes may ask for.
	Probes []string

	// SecurityContext that it gets, whatever the injection says.
	SecurityContext claim.SecurityContext
}

// The forms that don't depend on a cloud.
var (
	hashForm      = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	subdomainForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	claimForm     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	diskForm      = regexp.MustCompile(`^(-[a-z]([-a-z0-9]{0,18}[a-z0-9])?)?$`)
	imageForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)

	// A disk is mounted anywhere but over the system's directories, and a folder
	// of it is within it.
	mountForm   = regexp.MustCompile(`^(/[^/:]+)+$`)
	mountDots   = regexp.MustCompile(`/[.][.]?(/|$)`)
	systemForm  = regexp.MustCompile(`^/(bin|boot|dev|etc|lib|lib64|proc|root|run|sbin|sys|usr|var/run|var/lib/kubelet)(/|$)`)
	subPathForm = regexp.MustCompile(`^[^/:]+(/[^/:]+)*$`)
	subPathDots = regexp.MustCompile(`(^|/)[.][.]?(/|$)`)
)

const (
	maxName  = 253
	maxGroup = 1<<31 - 1
	maxPort  = 65535

	// The lifetimes that a token may have: the least that the API server takes,
	// and a day.
	minTokenSeconds = 600
	maxTokenSeconds = 86400

	// maxProbe of a probe's seconds and failures.
	maxProbe = 3600
)

// Fit an injection as it is published: what a pod may have of it. It is false
// where the injection holds what the function doesn't emit; the pod then gets
// nothing.
func (f Forms) Fit(in claim.Injection) (claim.Injection, bool) {
	if !f.identityFits(in) || !f.volumesFit(in.Volumes) || !f.mountsFit(in) || !f.sidecarsFit(in.InitContainers) {
		return claim.Injection{}, false
	}
	in.InitContainers = slices.Clone(in.InitContainers)
	for i := range in.InitContainers {
		in.InitContainers[i].SecurityContext = f.Sidecar.SecurityContext
	}
	return in, true
}

// Named is what a connection of a name gives pods, where one without gives them what the
// first says.
func Named(what, name string) string {
	if name == "" {
		return what
	}
	return what + "-" + name
}

// envForm is the form of a variable's value, empty for one that no connection gives.
func (f Forms) envForm(name string) string {
	if form, ok := f.Env[name]; ok {
		return form
	}
	for _, v := range f.Variables {
		if v.may(name) {
			return f.Env[v.Name]
		}
	}
	return ""
}

// Renamed is a part of an injection as the connection gives it that goes on with it under
// another name. The names that its claim had given to variables stay.
func (f Forms) Renamed(part claim.Injection, from, to string, given *claim.Variables) claim.Injection {
	was, is := Named(f.Disk, from), Named(f.Disk, to)
	part.Volumes, part.VolumeMounts, part.Env = slices.Clone(part.Volumes), slices.Clone(part.VolumeMounts), slices.Clone(part.Env)
	for i := range part.Env {
		for _, v := range f.Variables {
			if e := &part.Env[i]; e.Name == v.Of(from, given) {
				e.Name = v.Of(to, given)
				break
			}
		}
	}
	for i := range part.Volumes {
		if v := &part.Volumes[i]; v.Name == was {
			v.Name = is
		}
	}
	for i := range part.VolumeMounts {
		if m := &part.VolumeMounts[i]; m.Name == was {
			m.Name = is
		}
	}
	return part
}

// Part of an injection that a connection of a name has in it by these forms, under the
// names that its claim gave to variables, and nothing where it holds what the function
// doesn't emit by a name of theirs. What it is of as a whole, such as its ServiceAccount,
// is left out.
func (f Forms) Part(whole claim.Injection, name string, given *claim.Variables) (claim.Injection, bool) {
	disk := Named(f.Disk, name)
	named := func(volume string) bool {
		_, token := f.Tokens[volume]
		return token || f.Disk != "" && volume == disk
	}
	part := claim.Injection{
		Hash:               whole.Hash,
		ServiceAccountName: whole.ServiceAccountName,
		Env:                only(whole.Env, func(e claim.EnvVar) bool { return f.gives(name, given, e.Name) }),
		Volumes:            only(whole.Volumes, func(v claim.Volume) bool { return named(v.Name) }),
		VolumeMounts:       only(whole.VolumeMounts, func(m claim.VolumeMount) bool { return named(m.Name) }),
		InitContainers:     only(whole.InitContainers, func(s claim.Sidecar) bool { return f.Sidecar.Name != "" && s.Name == f.Sidecar.Name }),
	}
	part.InitContainers = f.instancesOf(part, name, given)
	for k, v := range whole.Labels {
		if _, ok := f.Labels[k]; !ok {
			continue
		}
		if part.Labels == nil {
			part.Labels = map[string]string{}
		}
		part.Labels[k] = v
	}
	if f.Disk != "" && len(part.Volumes) > 0 {
		part.FSGroup = whole.FSGroup
	}
	part, ok := f.Fit(part)
	part.Hash, part.ServiceAccountName = "", ""
	return part, ok
}

// gives says whether a connection of a name gives pods a variable.
func (f Forms) gives(connection string, given *claim.Variables, name string) bool {
	for _, v := range f.Variables {
		switch name {
		case v.Of(connection, given):
			return true
		case v.Name:
			return false
		}
	}
	_, ok := f.Env[name]
	return ok && connection == ""
}

// instancesOf the sidecars of a part that are the connection's own: of the port that its
// variable says.
func (f Forms) instancesOf(part claim.Injection, connection string, given *claim.Variables) []claim.Sidecar {
	i := slices.IndexFunc(f.Variables, func(v Variable) bool { return v.Name == f.Sidecar.PortVariable })
	if i < 0 {
		return nil
	}
	variable := f.Variables[i].Of(connection, given)
	var own []claim.Sidecar
	for _, s := range part.InitContainers {
		for _, e := range part.Env {
			if e.Name != variable {
				continue
			}
			if s, ok := instanceOf(s, e.Value); ok {
				own = append(own, s)
			}
		}
	}
	return own
}

// only those of a list that hold, nil where none does.
func only[T any](all []T, holds func(T) bool) []T {
	var some []T
	for _, v := range all {
		if holds(v) {
			some = append(some, v)
		}
	}
	return some
}

func (f Forms) identityFits(in claim.Injection) bool {
	for k, v := range in.Labels {
		if want, ok := f.Labels[k]; !ok || v != want {
			return false
		}
	}
	for _, e := range in.Env {
		form := f.envForm(e.Name)
		if form == "" || !matches(form, e.Value) {
			return false
		}
	}
	return hashForm.MatchString(in.Hash) &&
		len(in.ServiceAccountName) <= maxName && subdomainForm.MatchString(in.ServiceAccountName) &&
		len(in.Annotations) == 0 &&
		(in.FSGroup == nil || *in.FSGroup >= 0 && *in.FSGroup <= maxGroup)
}

func (f Forms) volumesFit(volumes []claim.Volume) bool {
	if len(volumes) > len(f.Tokens)+max(1, f.Most) {
		return false
	}
	names := map[string]bool{}
	for _, v := range volumes {
		if names[v.Name] || !f.volumeFits(v) {
			return false
		}
		names[v.Name] = true
	}
	return true
}

// isDisk says whether a volume has the name of a disk's.
func (f Forms) isDisk(volume string) bool {
	name, ok := strings.CutPrefix(volume, f.Disk)
	return ok && f.Disk != "" && diskForm.MatchString(name)
}

func (f Forms) volumeFits(v claim.Volume) bool {
	want, isToken := f.Tokens[v.Name]
	if !isToken {
		return f.isDisk(v.Name) && v.Projected == nil && v.PersistentVolumeClaim != nil && claimForm.MatchString(v.PersistentVolumeClaim.ClaimName)
	}
	if v.PersistentVolumeClaim != nil || v.Projected == nil || len(v.Projected.Sources) != 1 {
		return false
	}
	token := v.Projected.Sources[0].ServiceAccountToken
	return token.Audience == want.Audience && token.Path == want.Path &&
		token.ExpirationSeconds >= minTokenSeconds && token.ExpirationSeconds <= maxTokenSeconds
}

func (f Forms) mountsFit(in claim.Injection) bool {
	paths := map[string]bool{}
	for _, m := range in.VolumeMounts {
		mounted := slices.ContainsFunc(in.Volumes, func(v claim.Volume) bool { return v.Name == m.Name })
		if !mounted || paths[m.MountPath] || !f.mountFits(m) {
			return false
		}
		paths[m.MountPath] = true
	}
	return true
}

func (f Forms) mountFits(m claim.VolumeMount) bool {
	if token, ok := f.Tokens[m.Name]; ok {
		return m.MountPath == token.MountPath && m.SubPath == ""
	}
	return mountForm.MatchString(m.MountPath) && !mountDots.MatchString(m.MountPath) && !systemForm.MatchString(m.MountPath) &&
		(m.SubPath == "" || subPathForm.MatchString(m.SubPath) && !subPathDots.MatchString(m.SubPath))
}

func (f Forms) sidecarsFit(sidecars []claim.Sidecar) bool {
	return len(sidecars) <= 1 && !slices.ContainsFunc(sidecars, func(s claim.Sidecar) bool {
		return s.Name != f.Sidecar.Name || s.RestartPolicy != "Always" || !imageForm.MatchString(s.Image) ||
			!f.argsFit(s.Args) || !f.portsFit(s) || !resourcesFit(s.Resources)
	})
}

func (f Forms) argsFit(args []string) bool {
	ports := map[string]bool{}
	for _, a := range args {
		if !strings.Contains(a, portOption) {
			if !slices.Contains(f.Sidecar.Flags, a) {
				return false
			}
			continue
		}
		port := portOf(a)
		if n, err := strconv.Atoi(port); err != nil || n > maxPort || ports[port] || !matches(f.Sidecar.Instance, a) {
			return false
		}
		ports[port] = true
	}
	return len(ports) > 0 && len(ports) <= max(1, f.Most)
}

func (f Forms) portsFit(s claim.Sidecar) bool {
	if len(s.Ports) > 1 || len(s.Ports) == 1 && s.Ports[0] != f.Sidecar.Port {
		return false
	}
	for _, p := range []claim.Probe{s.StartupProbe, s.LivenessProbe} {
		if p.HTTPGet.Port != f.Sidecar.Port.ContainerPort || !slices.Contains(f.Sidecar.Probes, p.HTTPGet.Path) {
			return false
		}
		for _, n := range []int32{p.PeriodSeconds, p.TimeoutSeconds, p.FailureThreshold} {
			// Zero is the API server's default.
			if n < 0 || n > maxProbe {
				return false
			}
		}
	}
	return true
}

// resourcesFit says whether the API server takes the requests and limits.
func resourcesFit(r claim.Resources) bool {
	limits := map[string]resource.Quantity{}
	for name, v := range r.Limits {
		q, ok := positive(name, v)
		if !ok {
			return false
		}
		limits[name] = q
	}
	for name, v := range r.Requests {
		q, ok := positive(name, v)
		if !ok {
			return false
		}
		if limit, limited := limits[name]; limited && q.Cmp(limit) > 0 {
			return false
		}
	}
	return true
}

// positive quantity of a resource that a container may ask for.
func positive(name, value string) (resource.Quantity, bool) {
	if !slices.Contains([]string{"cpu", "memory", "ephemeral-storage"}, name) {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(value)
	return q, err == nil && q.Sign() > 0
}

// matches says whether a text has a form, which is one of ours.
func matches(form, text string) bool { return regexp.MustCompile(form).MatchString(text) }
