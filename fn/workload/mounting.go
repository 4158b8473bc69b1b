package workload

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A mounting says by which volumes a pod mounts the disks of an injection. It has each
// PersistentVolumeClaim in one: its own one where it has any, or else the first of the
// injection. What a kubelet before Kubernetes 1.35 has mounted it knows by the claim's
// volume and the pod, and so it waits for ever for the second one that a pod has of a claim
// (pkg/kubelet/volumemanager/cache/desired_state_of_world.go).
type mounting struct {
	own, disks []claimVolume
}

// A claimVolume is a volume of a PersistentVolumeClaim.
type claimVolume struct {
	name, claim string
	readOnly    bool
}

// mountingOf an injection in a pod that has some volumes.
func mountingOf(injection claim.Injection, volumes []map[string]any) mounting {
	var m mounting
	for _, v := range injection.Volumes {
		if c := v.PersistentVolumeClaim; c != nil {
			m.disks = append(m.disks, claimVolume{v.Name, c.ClaimName, c.ReadOnly})
		}
	}
	if len(m.disks) == 0 {
		return m
	}
	for _, v := range volumes {
		c := claimVolume{name: decoded.Text(v, "name"), claim: decoded.Text(v, "persistentVolumeClaim", "claimName")}
		if slices.ContainsFunc(m.disks, func(d claimVolume) bool { return d.claim == c.claim }) {
			c.readOnly = decoded.At(v, "persistentVolumeClaim", "readOnly") == true
			m.own = append(m.own, c)
		}
	}
	return m
}

// disk that a volume of the injection is; false for one of another kind.
func (m mounting) disk(volume string) (claimVolume, bool) {
	i := slices.IndexFunc(m.disks, func(d claimVolume) bool { return d.name == volume })
	if i < 0 {
		return claimVolume{}, false
	}
	return m.disks[i], true
}

// by is the volume of the pod by which one of the injection is mounted, and whether that
// may be: the pod has no volume of the claim, or one that does.
func (m mounting) by(volume string) (name string, ok bool) {
	d, isDisk := m.disk(volume)
	if !isDisk {
		return volume, true
	}
	name = ""
	for _, o := range m.own {
		switch {
		case o.claim != d.claim:
		case o.name == d.name:
			return o.name, true
		case !ok && (!o.readOnly || d.readOnly):
			name, ok = o.name, true
		case name == "":
			name = o.name
		}
	}
	if name != "" {
		return name, ok
	}
	for _, o := range m.disks {
		if o.claim == d.claim {
			return o.name, true
		}
	}
	return volume, true
}

// is says whether a volume of the pod is what a volume of the injection is.
func (m mounting) is(own, volume string) bool {
	d, isDisk := m.disk(volume)
	same := func(o claimVolume) bool { return o.name == own && o.claim == d.claim }
	return own == volume || isDisk && (slices.ContainsFunc(m.own, same) || slices.ContainsFunc(m.disks, same))
}

// volume of the injection as a pod has it: read-only where no disk of its claim writes, and
// else the mounts of those are that don't.
func (m mounting) volume(v claim.Volume) claim.Volume {
	p := v.PersistentVolumeClaim
	if p != nil && p.ReadOnly && slices.ContainsFunc(m.disks, func(d claimVolume) bool { return d.claim == p.ClaimName && !d.readOnly }) {
		v.PersistentVolumeClaim = &claim.PersistentVolumeClaimVolume{ClaimName: p.ClaimName}
	}
	return v
}

// mounts of the injection as a pod has them.
func (m mounting) mounts(mounts []claim.VolumeMount) []claim.VolumeMount {
	if len(m.disks) < 2 && len(m.own) == 0 {
		return mounts
	}
	mounts = slices.Clone(mounts)
	for i := range mounts {
		mounts[i].Name, _ = m.by(mounts[i].Name)
	}
	return mounts
}

// Shared is an injection as pods have it that have no volumes themselves: each
// PersistentVolumeClaim in one.
func Shared(injection claim.Injection) claim.Injection {
	m := mountingOf(injection, nil)
	if len(m.disks) < 2 {
		return injection
	}
	volumes := make([]claim.Volume, 0, len(injection.Volumes))
	for _, v := range injection.Volumes {
		if by, _ := m.by(v.Name); by == v.Name {
			volumes = append(volumes, m.volume(v))
		}
	}
	injection.Volumes, injection.VolumeMounts = volumes, m.mounts(injection.VolumeMounts)
	return injection
}
