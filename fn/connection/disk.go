package connection

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// disk mounts a volume claim: one that exists, or one that is created because the
// settings say so.
var disk = Type{
	Type: claim.Type{
		Name: claim.TypeDisk,
		Fields: []claim.Field{
			{Name: "config.diskName", Required: true, In: func(c *claim.Connection) any { return &c.Config.DiskName }, Label: true},
			{
				Name: "config.mountPath", In: func(c *claim.Connection) any { return &c.Config.MountPath }, MaxLength: maxPath,
				Forms: []claim.Form{
					claim.Matching(`^(/`+pathElement+`)+$`, "must be an absolute path below /, without . and .. elements, double or trailing slashes, and colons"),
					// Tokens are in the last ones.
					claim.NotMatching(`^/(bin|boot|dev|etc|lib|lib64|proc|root|run|sbin|sys|usr|var/run|var/lib/kubelet)(/|$)`, "is a system directory; mount the disk elsewhere, such as /data"),
				},
			},
			{Name: "config.readOnly", In: func(c *claim.Connection) any { return &c.Config.ReadOnly }},
			{
				Name: "config.subPath", In: func(c *claim.Connection) any { return &c.Config.SubPath }, MaxLength: maxPath,
				Forms: []claim.Form{claim.Matching(`^`+pathElement+`(/`+pathElement+`)*$`, "must be a relative path within the disk, without . and .. elements, double or trailing slashes, and colons")},
			},
			{Name: "config.fsGroup", In: func(c *claim.Connection) any { return &c.Config.FSGroup }, Range: &claim.Range{Min: 0, Max: 1<<31 - 1}},
		},
		Together: []claim.Together{
			{
				// The API server can tell what this costs, and not what a list of all paths would.
				Rule: `self.all(c, c.type != 'disk' || !has(c.config) || !has(c.config.diskName) || self.exists_one(o, o.type == 'disk' && has(o.config) && has(o.config.diskName) && ` +
					`(has(o.config.mountPath) ? o.config.mountPath : '/data/' + o.config.diskName) == (has(c.config.mountPath) ? c.config.mountPath : '/data/' + c.config.diskName)))`,
				Holds: func(disks []*claim.Connection) bool {
					paths := make([]string, len(disks))
					for i, d := range disks {
						paths[i] = mountPath(d.Config)
					}
					slices.Sort(paths)
					return len(slices.Compact(paths)) == len(disks)
				},
				Message: "two disks of a service are mounted at one path; give one of them another config.mountPath",
			},
			{
				Rule: `[self.filter(c, c.type == 'disk' && has(c.config) && has(c.config.fsGroup)).map(c, c.config.fsGroup)].all(groups, groups.all(g, g == groups[0]))`,
				Holds: func(disks []*claim.Connection) bool {
					var group *int64
					for _, d := range disks {
						if g := d.Config.FSGroup; g != nil && group != nil && *g != *group {
							return false
						}
						group = cmp.Or(group, d.Config.FSGroup)
					}
					return true
				},
				Message: "a pod has one fsGroup for all of its disks; give all disks of a service the same config.fsGroup, or only one of them any",
			},
		},
	},
	Grants:  []*GrantKind{&diskGrant},
	Injects: workload.Forms{Disk: diskVolume, Most: claim.MaxConnections},
	Data:    func(c claim.Connection) string { return diskKey(c.Config.DiskName) },
	Expand:  expandDisk,
	Published: func(s *settings.Settings, namespace, _ string, part claim.Injection) settings.Decision {
		for _, v := range part.Volumes {
			// One that has left the settings while in use stays mounted.
			if d, _ := s.AllowsDisk(namespace, v.PersistentVolumeClaim.ClaimName); d == settings.Excluded {
				return d
			}
		}
		return settings.Absent
	},
	Route: func(d Drawn) Route {
		return Route{Steps: []Step{{Kind: "disk", Name: d.Config.DiskName}}}
	},
}

// diskGrant is what holds a disk's data: the volume claim, or the Object that made
// it.
var diskGrant = GrantKind{
	Name:  "disk",
	Kinds: []managedKind{{namespaced: volumeClaimKind, cluster: volumeClaimKind}, objectKind},
	Data:  true,
}

// pathElement is any but . and .., without colons, which Kubernetes refuses in mount
// paths, and control characters.
const (
	pathElement = `([^./:\x00-\x1f\x7f]|\.[^./:\x00-\x1f\x7f]|\.\.[^/:\x00-\x1f\x7f])[^/:\x00-\x1f\x7f]*`
	maxPath     = 512
)

var (
	objectKind      = newManagedKind("Object", "objects", "kubernetes", "crossplane.io", "v1alpha1", "v1alpha2")
	volumeClaimKind = Kind{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
)

// diskVolume is the name of the volume in a pod, which that of the connection follows
// after a dash, where it has one.
const diskVolume = "sc-disk"

// diskKey of the composed resource that holds a disk's data. It holds no hash,
// because a disk is never superseded.
func diskKey(diskName string) string { return diskGrant.Name + "." + diskName }

// expandDisk: a volume claim that exists is never adopted.
func expandDisk(c Context) Expansion {
	name := c.Connection.Config.DiskName
	e := Expansion{Identity: name, Mounted: c.mounted(name)}
	var rule *v1beta1.Disk
	e.Decision, rule = c.Settings.AllowsDisk(c.Claim.Namespace, name)
	key := diskKey(name)
	observed := c.Observed.Object(key)

	switch {
	case e.Decision == settings.Excluded:
		return blocked(e, Verdictf(DiskNotRegistered, "disk %q is registered in the cluster settings, but not for namespace %q; ask the platform team to add the namespace", name, c.Claim.Namespace))
	case e.Decision == settings.Unregistered && observed == nil && !e.Mounted:
		return blocked(e, Verdictf(DiskNotRegistered, "disk %q is not registered in the cluster settings; ask the platform team to register it", name))
	case e.Decision == settings.Unregistered:
		e.Warnings = append(e.Warnings, Verdictf(DiskPolicyPinned, "disk %q has left the cluster settings while in use; it stays mounted as long as its connection is in the claim, and to use it elsewhere, ask the platform team to register it again", name))
	case observed == nil && (rule == nil || rule.Create == nil):
		// Referenced only.
	default:
		e = c.created(e, key, observed, rule)
	}
	// Absent lists grant the team's own volume claims, which a pod may mount
	// anyway.
	e.Decision = settings.Allowed
	e.Injection = c.diskInjection(name)
	e.Published = true
	return c.volumeClaim(e, observed)
}

// mounted says whether the last status published a volume claim for the service.
func (c Context) mounted(diskName string) bool {
	return slices.ContainsFunc(c.Previous, func(s *claim.ServiceStatus) bool {
		return s.Injection != nil && slices.ContainsFunc(s.Injection.Volumes, func(v claim.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == diskName
		})
	})
}

func (c Context) diskInjection(name string) claim.Injection {
	cfg := c.Connection.Config
	readOnly := cfg.ReadOnly != nil && *cfg.ReadOnly
	volume := workload.Named(diskVolume, c.Connection.Name)
	return claim.Injection{
		Volumes:      []claim.Volume{{Name: volume, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: name, ReadOnly: readOnly}}},
		VolumeMounts: []claim.VolumeMount{{Name: volume, MountPath: mountPath(cfg), SubPath: cfg.SubPath, ReadOnly: readOnly}},
		FSGroup:      cfg.FSGroup,
	}
}

// mountPath of a disk, by default after the disk and not its connection: so to give the
// connection a name moves nothing.
func mountPath(cfg *claim.Config) string { return cmp.Or(cfg.MountPath, "/data/"+cfg.DiskName) }

func (c Context) volumeClaimRequirement() Requirement {
	return Requirement{APIVersion: "v1", Kind: volumeClaimKind.Kind, Namespace: c.Claim.Namespace, Name: c.Connection.Config.DiskName}
}

// created composes the volume claim, in the form that it was created in: a
// composed one is deleted with its connection, one in an Object is left alone.
func (c Context) created(e Expansion, key string, observed map[string]any, rule *v1beta1.Disk) Expansion {
	name := c.Connection.Config.DiskName
	if observed == nil {
		found, known := c.Observed.Lookup(c.volumeClaimRequirement())
		if !known || found != nil && !ComposedAs(found, c.Claim.UID, key) {
			// Not known yet, or there and not made by this claim: referenced.
			return e
		}
	}
	composed := rule != nil && rule.DeletionPolicy == settings.PolicyDelete
	if observed != nil {
		if was := decoded.Text(observed, "kind") == volumeClaimKind.Kind; rule == nil || rule.Create == nil || was != composed {
			fate, remedy := "to outlive its connection, and still does,", "nothing needs to be done; to change it, ask the platform team to delete its Object, which leaves the volume claim"
			if was {
				fate, remedy = "to be deleted with its connection, and still is,", "to keep its data, ask the platform team to set its volume's reclaim policy to Retain before the connection goes"
			}
			e.Warnings = append(e.Warnings, Verdictf(DiskPolicyPinned, "disk %q was created %s although the cluster settings have changed; %s", name, fate, remedy))
			composed = was
		}
	}
	if rule == nil || rule.Create == nil {
		// Nothing says any more what it should be: kept as it is.
		return e
	}
	spec, pinned := volumeClaimSpec(rule.Create, c.liveSpec(observed))
	if pinned != "" {
		e.Warnings = append(e.Warnings, Verdictf(DiskPolicyPinned, "disk %q keeps its %s, which can't be changed; create a disk of another name to have the new one", name, pinned))
	}
	e.Grants = append(e.Grants, c.diskObject(key, composed, spec))
	return e
}

func (c Context) diskObject(key string, composed bool, spec map[string]any) Grant {
	volumeClaim := map[string]any{
		"apiVersion": volumeClaimKind.APIVersion,
		"kind":       volumeClaimKind.Kind,
		"metadata":   map[string]any{"name": c.Connection.Config.DiskName, "namespace": c.Claim.Namespace},
		"spec":       spec,
	}
	if composed {
		return Grant{Key: key, Kind: volumeClaimKind, Object: volumeClaim, Data: true}
	}
	g := c.grant(managedResource{
		kind: objectKind, key: key, name: c.diskName(hash(c.Claim.Namespace, key)), policies: neverDelete,
		former:         Former{Key: key, Name: c.diskName(formerHash(c.Claim.Namespace, key))},
		providerConfig: c.Settings.Kubernetes.ProviderConfigRef,
		forProvider:    map[string]any{"manifest": volumeClaim},
	})
	g.Data = true
	return g
}

func (c Context) diskName(hash string) string {
	return objectName("disk-"+c.Connection.Config.DiskName, "-"+hash)
}

// liveSpec of an observed volume claim, composed or made by an Object. The
// Object's manifest says only what was asked for: the API server adds a storage
// class, and somebody may have made the claim larger.
func (c Context) liveSpec(observed map[string]any) map[string]any {
	live := observed
	if decoded.Text(observed, "kind") != volumeClaimKind.Kind {
		if live, _ = c.Observed.Lookup(c.volumeClaimRequirement()); live == nil {
			live = decoded.Object(observed, "spec", "forProvider", "manifest")
		}
	}
	return decoded.Object(live, "spec")
}

// volumeClaimSpec as the settings say it, but for what can't be changed: a
// volume claim only grows, and keeps its class and access modes. Pinned names
// what was kept.
func volumeClaimSpec(create *v1beta1.DiskCreation, live map[string]any) (spec map[string]any, pinned string) {
	modes, size, class := create.AccessModes, create.Size, create.StorageClassName
	if live != nil {
		if m := decoded.Texts(live, "accessModes"); len(m) > 0 && !slices.Equal(m, modes) {
			modes, pinned = m, "access modes"
		}
		lc := decoded.Text(live, "storageClassName")
		if lc != "" && class != "" && lc != class {
			pinned = "storage class"
		}
		// Also where the settings name none: it can't be taken away.
		class = cmp.Or(lc, class)
		if ls := decoded.Text(live, "resources", "requests", "storage"); larger(ls, size) {
			size, pinned = ls, "size"
		}
	}
	spec = map[string]any{
		"accessModes": list(modes),
		"resources":   map[string]any{"requests": map[string]any{"storage": size}},
	}
	if class != "" {
		spec["storageClassName"] = class
	}
	return spec, pinned
}

func larger(a, b string) bool {
	qa, err := resource.ParseQuantity(a)
	if err != nil {
		return false
	}
	qb, err := resource.ParseQuantity(b)
	return err == nil && qa.Cmp(qb) > 0
}

// volumeClaim says how the volume claim is. One that waits for its first
// consumer counts as connected, or pods and claim would wait for each other.
func (c Context) volumeClaim(e Expansion, observed map[string]any) Expansion {
	name := c.Connection.Config.DiskName
	pvc := observed
	if decoded.Text(observed, "kind") != volumeClaimKind.Kind {
		r := c.volumeClaimRequirement()
		e.Requires = append(e.Requires, r)
		pvc, _ = c.Observed.Lookup(r)
	}
	if observed == nil {
		if v := Goes(pvc, c.Claim.UID); v.Reason != "" {
			e.Warnings = append(e.Warnings, v)
		}
	}
	for _, g := range e.Grants {
		// A composed volume claim has no conditions; its phase says it all.
		if g.Kind != volumeClaimKind {
			e.Verdict = c.state(g)
		}
	}
	switch {
	case pvc == nil && len(e.Grants) > 0:
		e.Verdict = First(e.Verdict, Verdictf(Creating, "PersistentVolumeClaim %q is being created", name))
	case pvc == nil:
		e.Verdict = Verdictf(VolumeClaimNotFound, "PersistentVolumeClaim %q does not exist in namespace %q; create it, or register the disk with a size in the cluster settings", name, c.Claim.Namespace)
	case deleting(pvc):
		next := "an empty one is made after that"
		if len(e.Grants) == 0 {
			next = "create a new one after that"
		}
		e.Verdict = First(e.Verdict, Verdictf(Creating, "PersistentVolumeClaim %q is being deleted, and may take its data with it once no pod uses it; copy what you need before its pods stop, %s", name, next))
	case decoded.Text(pvc, "status", "phase") == "Lost":
		e.Verdict = Verdictf(VolumeClaimLost, "PersistentVolumeClaim %q has lost its volume %q; restore the volume, or use another disk", name, volumeOf(pvc))
	case decoded.Text(pvc, "status", "phase") == "Pending":
		e = c.pendingVolumeClaim(e, decoded.Text(pvc, "spec", "storageClassName"))
	}
	return c.boundVolume(e, pvc)
}

// pendingVolumeClaim is waiting for its first consumer, unless its class says
// otherwise. One that names no class is bound by hand.
func (c Context) pendingVolumeClaim(e Expansion, class string) Expansion {
	if class == "" {
		return e
	}
	name, r := c.Connection.Config.DiskName, Requirement{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass", Name: class}
	e.Requires = append(e.Requires, r)
	storageClass, known := c.Observed.Lookup(r)
	switch {
	case !known:
	case storageClass == nil:
		e.Verdict = First(e.Verdict, Verdictf(StorageClassNotFound, "PersistentVolumeClaim %q is Pending, because StorageClass %q does not exist; create the class, or a disk of another class", name, class))
	case decoded.Text(storageClass, "volumeBindingMode") != "WaitForFirstConsumer":
		e.Verdict = First(e.Verdict, Verdictf(Creating, "PersistentVolumeClaim %q is Pending until StorageClass %q has made its volume; if that takes minutes, run: kubectl -n %s describe pvc %s", name, class, c.Claim.Namespace, name))
	}
	return e
}

func list(ss []string) []any {
	vs := make([]any, len(ss))
	for i, s := range ss {
		vs[i] = s
	}
	return vs
}
