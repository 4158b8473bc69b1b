package workload

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// Merge the injections of a service's connections. What two of them say alike is
// there once. The lists are sorted by what tells their entries apart, so that
// the order of the connections in the claim changes nothing, least of all the
// hash. The error names everything that two injections say differently; the
// first one's word then stands. Hash and Complete are of the whole, so they are
// left to the caller.
func Merge(injections ...claim.Injection) (claim.Injection, error) {
	var merged claim.Injection
	j := joiner{}
	for _, in := range injections {
		j.scalar("the ServiceAccount", &merged.ServiceAccountName, in.ServiceAccountName)
		if merged.Containers == nil {
			merged.Containers = slices.Clone(in.Containers)
		} else if in.Containers != nil && !slices.Equal(merged.Containers, in.Containers) {
			j.differ("the containers", strings.Join(merged.Containers, ", "), strings.Join(in.Containers, ", "))
		}
		merged.Labels = j.keys("label", merged.Labels, in.Labels)
		merged.Annotations = j.keys("annotation", merged.Annotations, in.Annotations)
		merged.Env = join(&j, "variable", merged.Env, in.Env, func(e claim.EnvVar) string { return e.Name }, func(e claim.EnvVar) string { return e.Value })
		merged.Volumes = join(&j, "volume", merged.Volumes, in.Volumes, func(v claim.Volume) string { return v.Name }, contentOf)
		merged.VolumeMounts = join(&j, "mount", merged.VolumeMounts, in.VolumeMounts, func(m claim.VolumeMount) string { return m.MountPath }, mounted)
		merged.InitContainers = j.sidecars(merged.InitContainers, in.InitContainers)
		switch {
		case in.FSGroup == nil:
		case merged.FSGroup == nil:
			group := *in.FSGroup
			merged.FSGroup = &group
		case *merged.FSGroup != *in.FSGroup:
			j.differ("fsGroup", strconv.FormatInt(*merged.FSGroup, 10), strconv.FormatInt(*in.FSGroup, 10))
		}
	}
	if len(j.differences) > 0 {
		return merged, errors.New("cannot merge injections: two connections differ in " + strings.Join(j.differences, "; in "))
	}
	return merged, nil
}

// A joiner gathers what two injections say differently.
type joiner struct {
	differences []string
}

// differ in something, of which each says something, in words for who reads the claim.
// What both say alike isn't what they differ in.
func (j *joiner) differ(what, first, second string) {
	if first != second {
		what += ", " + first + " and " + second
	}
	j.differences = append(j.differences, what)
}

// contentOf a volume.
func contentOf(v claim.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "disk " + strconv.Quote(v.PersistentVolumeClaim.ClaimName)
	case v.Projected != nil && len(v.Projected.Sources) > 0:
		return "token for " + strconv.Quote(v.Projected.Sources[0].ServiceAccountToken.Audience)
	default:
		return "nothing"
	}
}

// mounted volume, and which folder of it.
func mounted(m claim.VolumeMount) string {
	if m.SubPath == "" {
		return "volume " + strconv.Quote(m.Name)
	}
	return strconv.Quote(m.SubPath) + " of volume " + strconv.Quote(m.Name)
}

func (j *joiner) scalar(what string, merged *string, s string) {
	switch {
	case *merged == "":
		*merged = s
	case s != "" && s != *merged:
		j.differ(what, *merged, s)
	}
}

func (j *joiner) keys(what string, merged, more map[string]string) map[string]string {
	if len(more) == 0 {
		return merged
	}
	if merged == nil {
		merged = map[string]string{}
	}
	for _, k := range slices.Sorted(maps.Keys(more)) {
		v := merged[k]
		j.scalar(fmt.Sprintf("%s %q", what, k), &v, more[k])
		merged[k] = v
	}
	return merged
}

// join two lists whose entries the key tells apart. What one of them says is for readers.
func join[T any](j *joiner, what string, merged, more []T, key, says func(T) string) []T {
	for _, e := range more {
		i, found := slices.BinarySearchFunc(merged, key(e), func(m T, k string) int { return cmp.Compare(key(m), k) })
		switch {
		case !found:
			merged = slices.Insert(merged, i, e)
		case !equality.Semantic.DeepEqual(merged[i], e):
			j.differ(fmt.Sprintf("%s %q", what, key(e)), says(merged[i]), says(e))
		}
	}
	return merged
}

// Beside others of a service, a part of an injection that stays as it was published goes by
// them in what is of the pod as a whole, and not of one connection: they work, and the
// part doesn't. All of the parts are given, and which of them stay.
func Beside(part claim.Injection, all []claim.Injection, stay []int) claim.Injection {
	part.InitContainers = slices.Clone(part.InitContainers)
	for i := range all {
		other := &all[i]
		if slices.Contains(stay, i) {
			continue
		}
		if other.FSGroup != nil {
			part.FSGroup = other.FSGroup
		}
		for n, s := range part.InitContainers {
			as := slices.IndexFunc(other.InitContainers, func(o claim.Sidecar) bool { return o.Name == s.Name })
			if as < 0 {
				continue
			}
			instances, _ := argsOf(s)
			_, flags := argsOf(other.InitContainers[as])
			part.InitContainers[n] = withArgs(other.InitContainers[as], instances, flags)
		}
	}
	return part
}

// Holds says whether an injection has, by name, everything of another one.
func Holds(whole, part claim.Injection) bool {
	for k := range part.Labels {
		if _, ok := whole.Labels[k]; !ok {
			return false
		}
	}
	return holds(whole.Volumes, part.Volumes, func(v claim.Volume) string { return v.Name }) &&
		holds(whole.InitContainers, part.InitContainers, func(s claim.Sidecar) string { return s.Name }) &&
		holds(whole.Env, part.Env, func(e claim.EnvVar) string { return e.Name })
}

// holds says whether the entries of a list are among those of another, by name.
func holds[T any](all, some []T, name func(T) string) bool {
	return !slices.ContainsFunc(some, func(s T) bool {
		return !slices.ContainsFunc(all, func(a T) bool { return name(a) == name(s) })
	})
}

// contents of an injection, by name.
type contents struct{ labels, volumes, initContainers, env []string }

func contentsOf(i claim.Injection) contents {
	c := contents{labels: slices.Collect(maps.Keys(i.Labels))}
	for _, v := range i.Volumes {
		c.volumes = append(c.volumes, v.Name)
	}
	for _, s := range i.InitContainers {
		c.initContainers = append(c.initContainers, s.Name)
	}
	for _, e := range i.Env {
		c.env = append(c.env, e.Name)
	}
	return c
}

// hold says whether some names are among others.
func hold(all, some []string) bool {
	return !slices.ContainsFunc(some, func(n string) bool { return !slices.Contains(all, n) })
}

// Hash of an injection as pods get it together with the annotations of its ServiceAccount,
// so that a switch of identity counts as a change: pods that run have the old one.
// Hash and Complete of the injection don't count. It is 16 hex digits.
func Hash(injection claim.Injection, serviceAccountAnnotations map[string]string) string {
	injection = Shared(injection)
	injection.Hash, injection.Complete = "", false
	return hash(struct {
		Injection   claim.Injection   `json:"injection"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}{injection, serviceAccountAnnotations})
}
