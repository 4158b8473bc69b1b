package connection

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// topologyZone is the label of a node's zone (Kubernetes documentation,
// "Well-Known Labels, Annotations and Taints").
const topologyZone = "topology.kubernetes.io/zone"

// zoneLabels are what volumes name a zone by: drivers that are older than that
// label have one of their own, and some still write it alone (the sources of the
// AWS EBS, Azure Disk and GCE Persistent Disk CSI drivers).
var zoneLabels = []string{
	topologyZone,
	"failure-domain.beta.kubernetes.io/zone",
	"topology.ebs.csi.aws.com/zone",
	"topology.disk.csi.azure.com/zone",
	"topology.gke.io/zone",
}

// boundVolume tells where a volume claim's volume is, and what that means for
// the workload.
func (c Context) boundVolume(e Expansion, pvc map[string]any) Expansion {
	if name := volumeOf(pvc); name != "" {
		r := Requirement{APIVersion: "v1", Kind: "PersistentVolume", Name: name}
		e.Requires = append(e.Requires, r)
		// A team may name any volume in its claim, also another team's, and so is told of
		// none but those that are its own claim's.
		if volume, _ := c.Observed.Lookup(r); claimedBy(volume, pvc) {
			e.Zone = strings.Join(zones(volume), ",")
		}
	}
	if c.Workload == nil {
		return e
	}
	e.Warnings = append(e.Warnings, c.rolloutWarnings(pvc)...)
	if e.Zone != "" && c.spreadsOverZones() {
		w := c.Service.Workload
		e.Warnings = append(e.Warnings, Verdictf(ZoneSpread, "%s %q must spread over zones, and PersistentVolumeClaim %q is in %s only; set whenUnsatisfiable: ScheduleAnyway, or use a disk that is in every zone", w.Kind, w.Name, c.Connection.Config.DiskName, e.Zone))
	}
	return e
}

// volumeOf a volume claim: the name of the one that it is bound to. A team may write
// anything there, and Crossplane takes no answer that asks for a volume of a megabyte.
func volumeOf(pvc map[string]any) string {
	name := decoded.Text(pvc, "spec", "volumeName")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return ""
	}
	return name
}

// claimedBy says whether a volume says itself that it is a claim's.
func claimedBy(volume, pvc map[string]any) bool {
	name, namespace := Name(pvc)
	return name != "" && decoded.Text(volume, "spec", "claimRef", "name") == name && decoded.Text(volume, "spec", "claimRef", "namespace") == namespace
}

// zones that a volume can be used in, sorted. None: it doesn't say.
func zones(volume map[string]any) []string {
	var zs []string
	for _, term := range decoded.Objects(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms") {
		for _, e := range decoded.Objects(term, "matchExpressions") {
			if e["operator"] == "In" && slices.Contains(zoneLabels, decoded.Text(e, "key")) {
				zs = append(zs, decoded.Texts(e, "values")...)
			}
		}
	}
	slices.Sort(zs)
	return slices.Compact(zs)
}

// spreadsOverZones says whether the workload's pods stay Pending rather than be
// in one zone.
func (c Context) spreadsOverZones() bool {
	w := c.Service.Workload
	kind, _ := workload.KindOf(w.APIVersion, w.Kind)
	template, _ := kind.Template(c.Workload)
	return slices.ContainsFunc(decoded.Objects(template, "spec", "topologySpreadConstraints"), func(c map[string]any) bool {
		return c["topologyKey"] == topologyZone && c["whenUnsatisfiable"] == "DoNotSchedule"
	})
}

// rolloutWarnings about a volume that only one node can mount.
func (c Context) rolloutWarnings(pvc map[string]any) []Verdict {
	modes := decoded.Texts(pvc, "spec", "accessModes")
	w := c.Service.Workload
	if w.Kind != "Deployment" || len(modes) == 0 || slices.Contains(modes, "ReadWriteMany") || slices.Contains(modes, "ReadOnlyMany") {
		return nil
	}
	var vs []Verdict
	if n, ok := decoded.Integer(decoded.At(c.Workload, "spec", "replicas")); ok && n > 1 {
		vs = append(vs, Verdictf(ReplicasUnsafe, "Deployment %q has %d replicas, and PersistentVolumeClaim %q can be mounted by one node only; set replicas: 1, or use a disk with ReadWriteMany", w.Name, n, c.Connection.Config.DiskName))
	}
	if s := decoded.Text(c.Workload, "spec", "strategy", "type"); s == "" || s == "RollingUpdate" {
		vs = append(vs, Verdictf(RolloutBlocks, "Deployment %q rolls out with RollingUpdate, and its new pod may wait for PersistentVolumeClaim %q on another node; set spec.strategy.type: Recreate", w.Name, c.Connection.Config.DiskName))
	}
	return vs
}
