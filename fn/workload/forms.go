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

	// Labels of pods, each with its only value.
	Labels map[string]string

	// Tokens are the volumes of service account tokens, by name.
	Tokens map[string]Token

	// Disk is the name of the only other volume.
	Disk string

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

	// Instance is the regular expression of the one argument that isn't among
	// Flags: what to connect to, and after ?port= the port to listen on.
	Instance string
	Flags    []string

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

// Part of an injection that is of these forms, and nothing where it holds what the
// function doesn't emit by a name of theirs. What it is of as a whole, such as its
// ServiceAccount, is left out.
func (f Forms) Part(whole claim.Injection) (claim.Injection, bool) {
	named := func(volume string) bool {
		_, token := f.Tokens[volume]
		return token || f.Disk != "" && volume == f.Disk
	}
	part := claim.Injection{
		Hash:               whole.Hash,
		ServiceAccountName: whole.ServiceAccountName,
		Env:                only(whole.Env, func(e claim.EnvVar) bool { _, ok := f.Env[e.Name]; return ok }),
		Volumes:            only(whole.Volumes, func(v claim.Volume) bool { return named(v.Name) }),
		VolumeMounts:       only(whole.VolumeMounts, func(m claim.VolumeMount) bool { return named(m.Name) }),
		InitContainers:     only(whole.InitContainers, func(s claim.Sidecar) bool { return f.Sidecar.Name != "" && s.Name == f.Sidecar.Name }),
	}
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
		form, ok := f.Env[e.Name]
		if !ok || !matches(form, e.Value) {
			return false
		}
	}
	return hashForm.MatchString(in.Hash) &&
		len(in.ServiceAccountName) <= maxName && subdomainForm.MatchString(in.ServiceAccountName) &&
		len(in.Annotations) == 0 &&
		(in.FSGroup == nil || *in.FSGroup >= 0 && *in.FSGroup <= maxGroup)
}

func (f Forms) volumesFit(volumes []claim.Volume) bool {
	names := map[string]bool{}
	for _, v := range volumes {
		if names[v.Name] || !f.volumeFits(v) {
			return false
		}
		names[v.Name] = true
	}
	return true
}

func (f Forms) volumeFits(v claim.Volume) bool {
	want, isToken := f.Tokens[v.Name]
	if !isToken {
		return v.Name == f.Disk && v.Projected == nil && v.PersistentVolumeClaim != nil && claimForm.MatchString(v.PersistentVolumeClaim.ClaimName)
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
	instances := 0
	for _, a := range args {
		_, port, isInstance := strings.Cut(a, "?port=")
		if !isInstance {
			if !slices.Contains(f.Sidecar.Flags, a) {
				return false
			}
			continue
		}
		instances++
		if n, err := strconv.Atoi(port); err != nil || n > maxPort || !matches(f.Sidecar.Instance, a) {
			return false
		}
	}
	return instances == 1
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
