package connection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

const diskSettings = `
cluster: {name: prod}
disks:
- {name: shared, namespaces: [team-a]}
- {name: theirs, namespaces: [team-b]}
- {name: data, namespaces: [team-a], create: {size: 10Gi, storageClassName: fast}}
- {name: cache, namespaces: [team-a], create: {size: 1Gi, accessModes: [ReadWriteMany]}, deletionPolicy: Delete}
`

// found is a context in which Crossplane has answered for a volume claim; an
// empty object doesn't exist.
func found(t *testing.T, object string) func(*Context) {
	t.Helper()
	var o map[string]any
	if object != "" {
		o = decode(t, object)
	}
	return func(c *Context) { c.Observed.Required[c.volumeClaimRequirement().Key()] = o }
}

// inZone is a context in which the volume of a bound volume claim has node
// selector terms, and the workload a spec of its pods.
func inZone(t *testing.T, terms, pods string) func(*Context) {
	t.Helper()
	f := found(t, `{kind: PersistentVolumeClaim, metadata: {name: cache, namespace: team-a}, spec: {accessModes: [ReadWriteMany], volumeName: pv-1}, status: {phase: Bound}}`)
	volume := decode(t, `{kind: PersistentVolume, spec: {claimRef: {namespace: team-a, name: cache}, nodeAffinity: {required: {nodeSelectorTerms: `+terms+`}}}}`)
	w := decode(t, `{spec: {template: {spec: `+pods+`}}}`)
	return func(c *Context) {
		f(c)
		c.Observed.Required[Requirement{APIVersion: "v1", Kind: "PersistentVolume", Name: "pv-1"}.Key()] = volume
		c.Workload = w
	}
}

// pendingIn a StorageClass is the context of a volume claim. An empty class is
// none of its name; without one, Crossplane hasn't answered.
func pendingIn(t *testing.T, class ...string) func(*Context) {
	t.Helper()
	f := found(t, `{kind: PersistentVolumeClaim, spec: {storageClassName: slow}, status: {phase: Pending}}`)
	return func(c *Context) {
		f(c)
		for _, y := range class {
			var o map[string]any
			if y != "" {
				o = decode(t, y)
			}
			c.Observed.Required[Requirement{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass", Name: "slow"}.Key()] = o
		}
	}
}

// running adds the workload as it runs.
func running(t *testing.T, volumeClaim, workload string) func(*Context) {
	t.Helper()
	f, w := found(t, volumeClaim), decode(t, workload)
	return func(c *Context) {
		f(c)
		c.Workload = w
	}
}

// retained is an observed Object with a volume claim in it.
func retained(spec string) string {
	return `{kind: Object, spec: {forProvider: {manifest: {spec: ` + spec + `}}}, status: ` + ready + `}`
}

func TestDisk(t *testing.T) {
	t.Parallel()

	const bound = `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce]}, status: {phase: Bound}}`
	expandCases(t, diskSettings, map[string]expandCase{
		"PendingFirstConsumer": {
			reason:     "pods and claim would wait for each other",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    pendingIn(t, `{volumeBindingMode: WaitForFirstConsumer}`),
			want:       `{published: true, verdict: ""}`,
		},
		"PendingImmediate": {
			reason:     "a volume that should be there by now isn't; the pods get the mount all the same, and start when it is",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    pendingIn(t, `{volumeBindingMode: Immediate}`),
			want:       `{published: true, verdict: Creating, message: 'run: kubectl -n team-a describe pvc shared'}`,
		},
		"PendingNoClass": {
			reason:     "nothing will ever make the volume",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    pendingIn(t, ""),
			want:       `{published: true, verdict: StorageClassNotFound, message: 'StorageClass "slow" does not exist'}`,
		},
		"PendingUnknown": {
			reason:     "what isn't known yet accuses nobody",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    pendingIn(t),
			want:       `{published: true, verdict: ""}`,
		},
		"Referenced": {
			reason:     "a volume claim that exists is mounted, at a path that follows from its name",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, bound),
			want: `
keys: []
identity: shared
target: ""
decision: 3
published: true
verdict: ""
warnings: []
injection:
  volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: shared, readOnly: null}}]
  volumeMounts: [{name: sc-disk, mountPath: /data/shared, subPath: null, readOnly: null}]
  fsGroup: null
`,
		},
		"Named": {
			reason:     "the volume has the connection's name, and its place in the pod that of the disk",
			connection: `{type: disk, name: cache-2, config: {diskName: shared}}`,
			context:    found(t, bound),
			want: `
keys: []
identity: shared
injection:
  volumes: [{name: sc-disk-cache-2, persistentVolumeClaim: {claimName: shared}}]
  volumeMounts: [{name: sc-disk-cache-2, mountPath: /data/shared}]
`,
		},
		"Mount": {
			reason:     "the claim says where and how; the group 0 is a group",
			connection: `{type: disk, config: {diskName: shared, mountPath: /srv, subPath: a/b, readOnly: true, fsGroup: 0}}`,
			context:    found(t, bound),
			want: `
injection:
  volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: shared, readOnly: true}}]
  volumeMounts: [{name: sc-disk, mountPath: /srv, subPath: a/b, readOnly: true}]
  fsGroup: 0
`,
		},
		"Pending": {
			reason:     "a volume claim that waits for its first consumer counts as connected, or both would wait",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, status: {phase: Pending}}`),
			want:       `{published: true, verdict: ""}`,
		},
		"Lost": {
			reason:     "a volume claim without its volume is told with the volume",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {volumeName: pv-1}, status: {phase: Lost}}`),
			want:       `{published: true, verdict: VolumeClaimLost, message: 'has lost its volume "pv-1"'}`,
		},
		"NotFound": {
			reason:     "a disk that is only referenced is somebody else's to make",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, ""),
			want:       `{keys: [], published: true, verdict: VolumeClaimNotFound, message: 'does not exist in namespace "team-a"'}`,
		},
		"NoList": {
			reason:     "without a list a team mounts its own volume claims, as its pods may anyway",
			settings:   `{disks: null}`,
			connection: `{type: disk, config: {diskName: anything}}`,
			context:    found(t, bound),
			want:       `{keys: [], decision: 3, published: true, verdict: ""}`,
		},
		"Excluded": {
			reason:     "a disk that is registered for others is not mounted",
			connection: `{type: disk, config: {diskName: theirs}}`,
			context:    found(t, bound),
			want:       `{keys: [], published: false, injection: {volumes: null}, verdict: DiskNotRegistered, message: but not for namespace "team-a"}`,
		},
		"Unregistered": {
			reason:     "nor is one that nobody registered",
			connection: `{type: disk, config: {diskName: unknown}}`,
			context:    found(t, bound),
			want:       `{keys: [], published: false, verdict: DiskNotRegistered, message: is not registered}`,
		},
		"UnregisteredMounted": {
			reason:     "a disk that left the list while in use stays mounted",
			connection: `{type: disk, config: {diskName: gone}}`,
			context: func(c *Context) {
				c.Previous = []*claim.ServiceStatus{{Injection: &claim.Injection{Volumes: []claim.Volume{{PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "gone"}}}}}}
				c.Observed.Required[c.volumeClaimRequirement().Key()] = map[string]any{"kind": "PersistentVolumeClaim"}
			},
			want: `{keys: [], published: true, verdict: "", decision: 3, warnings: [DiskPolicyPinned], warning: has left the cluster settings while in use}`,
		},
		"Unanswered": {
			reason:     "nothing is created before it is known that nothing is there",
			connection: `{type: disk, config: {diskName: data}}`,
			want:       `{keys: [], published: true, verdict: VolumeClaimNotFound}`,
		},
		"Foreign": {
			reason:     "a volume claim that somebody else made is never adopted",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, metadata: {ownerReferences: [{uid: other, controller: true}]}}`),
			want:       `{keys: [], published: true, verdict: ""}`,
		},
		"OwnUnobserved": {
			reason:     "a volume claim of this claim is composed on, whether or not it is observed",
			connection: `{type: disk, config: {diskName: cache}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, metadata: {ownerReferences: [{uid: uid-shop, name: shop, controller: true}]}}`),
			want:       `{keys: [disk.cache], published: true, verdict: ""}`,
		},
		"Retain": {
			reason:     "data outlives its connection, in an Object that never deletes it",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, ""),
			want: `
keys: [disk.data]
published: true
verdict: Creating
grants:
  disk.data:
    apiVersion: kubernetes.m.crossplane.io/v1alpha1
    kind: Object
    data: true
    crd: objects.kubernetes.m.crossplane.io
    spec:
      managementPolicies: [Observe, Create, Update]
      providerConfigRef: {kind: ClusterProviderConfig, name: default}
      forProvider:
        manifest:
          apiVersion: v1
          kind: PersistentVolumeClaim
          metadata: {name: data, namespace: team-a}
          spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 10Gi}}}
`,
		},
		"RetainInClaim": {
			reason:     "a cluster-scoped composite resource composes the cluster-scoped Object, and orphans the data",
			connection: `{type: disk, config: {diskName: data}}`,
			context: func(c *Context) {
				c.Claim.Namespaced = false
				c.Observed.Required[c.volumeClaimRequirement().Key()] = nil
			},
			want: `
grants:
  disk.data:
    apiVersion: kubernetes.crossplane.io/v1alpha2
    metadata: {namespace: null}
    spec: {deletionPolicy: Orphan, providerConfigRef: {name: default, kind: null}}
`,
		},
		"Delete": {
			reason:     "a disk that goes with its connection is composed as it is, with the class left to the cluster",
			connection: `{type: disk, config: {diskName: cache}}`,
			context:    found(t, ""),
			want: `
keys: [disk.cache]
verdict: Creating
message: PersistentVolumeClaim "cache" is being created
grants:
  disk.cache:
    apiVersion: v1
    kind: PersistentVolumeClaim
    data: true
    crd: ""
    metadata: {name: cache, namespace: team-a}
    spec: {accessModes: [ReadWriteMany], storageClassName: null, resources: {requests: {storage: 1Gi}}}
`,
		},
		"ProviderError": {
			reason:     "what keeps the Object from being applied is told",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, ""),
			observed:   map[string]string{"disk.data": `{kind: Object, status: {conditions: [{type: Synced, status: "False", message: exceeded quota}]}}`},
			want:       `{keys: [disk.data], published: true, verdict: ProviderError, message: exceeded quota}`,
		},
		"Ready": {
			reason:     "an Object is looked at, and so is what is in it",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, bound),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 10Gi}}}`)},
			want:       `{keys: [disk.data], verdict: "", warnings: []}`,
		},
		"Grows": {
			reason:     "a volume claim grows with the settings",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, bound),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 9Gi}}}`)},
			want: `
warnings: []
grants: {disk.data: {spec: {forProvider: {manifest: {spec: {resources: {requests: {storage: 10Gi}}}}}}}}
`,
		},
		"SizePinned": {
			reason:     "and never shrinks",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 20Gi}}}, status: {phase: Bound}}`),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 20Gi}}}`)},
			want: `
verdict: ""
warnings: [DiskPolicyPinned]
warning: disk "data" keeps its size
grants: {disk.data: {spec: {forProvider: {manifest: {spec: {resources: {requests: {storage: 20Gi}}}}}}}}
`,
		},
		"ExpandedByHand": {
			reason:     "the volume claim itself says how large it is, not what was once asked for",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 50Gi}}}, status: {phase: Bound}}`),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 10Gi}}}`)},
			want: `
warnings: [DiskPolicyPinned]
grants: {disk.data: {spec: {forProvider: {manifest: {spec: {resources: {requests: {storage: 50Gi}}}}}}}}
`,
		},
		"DefaultedClass": {
			reason:     "a class that the API server gave can't be changed either",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], storageClassName: standard, resources: {requests: {storage: 10Gi}}}, status: {phase: Bound}}`),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}`)},
			want: `
warnings: [DiskPolicyPinned]
grants: {disk.data: {spec: {forProvider: {manifest: {spec: {storageClassName: standard}}}}}}
`,
		},
		"BeingDeleted": {
			reason:     "a volume claim that is on its way out takes its data with it, and new pods wait",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, status: {phase: Bound}}`),
			want:       `{verdict: Creating, message: is being deleted}`,
		},
		"ClassPinned": {
			reason:     "a class can't be changed",
			connection: `{type: disk, config: {diskName: data}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], storageClassName: slow, resources: {requests: {storage: 10Gi}}}, status: {phase: Bound}}`),
			observed:   map[string]string{"disk.data": retained(`{accessModes: [ReadWriteOnce], storageClassName: slow, resources: {requests: {storage: 10Gi}}}`)},
			want: `
warnings: [DiskPolicyPinned]
warning: disk "data" keeps its storage class
grants: {disk.data: {spec: {forProvider: {manifest: {spec: {storageClassName: slow}}}}}}
`,
		},
		"ClassLeavesSettings": {
			reason:     "a class that the settings no longer name can't be taken away either",
			connection: `{type: disk, config: {diskName: cache}}`,
			observed:   map[string]string{"disk.cache": `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteMany], storageClassName: slow, resources: {requests: {storage: 1Gi}}}}`},
			want: `
warnings: []
grants: {disk.cache: {spec: {storageClassName: slow}}}
`,
		},
		"ModesPinned": {
			reason:     "nor can access modes",
			connection: `{type: disk, config: {diskName: cache}}`,
			observed:   map[string]string{"disk.cache": `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`},
			want: `
verdict: ""
warnings: [DiskPolicyPinned]
warning: disk "cache" keeps its access modes
grants: {disk.cache: {spec: {accessModes: [ReadWriteOnce]}}}
`,
		},
		"FormPinnedObject": {
			reason:     "a disk in an Object stays in it, or deleting the one would take the data of the other",
			connection: `{type: disk, config: {diskName: cache}}`,
			context:    found(t, `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`),
			observed:   map[string]string{"disk.cache": retained(`{accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}`)},
			want:       `{keys: [disk.cache], warnings: [DiskPolicyPinned], warning: to outlive its connection, grants: {disk.cache: {kind: Object}}}`,
		},
		"FormPinnedComposed": {
			reason:     "and a composed one stays composed",
			connection: `{type: disk, config: {diskName: data}}`,
			observed:   map[string]string{"disk.data": `{kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 10Gi}}}}`},
			want:       `{keys: [disk.data], warnings: [DiskPolicyPinned], warning: set its volume's reclaim policy to Retain, grants: {disk.data: {kind: PersistentVolumeClaim}}}`,
		},
		"CreationLeavesSettings": {
			reason:     "what was created, and is only referenced now, is kept as it is",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    found(t, bound),
			observed:   map[string]string{"disk.shared": retained(`{accessModes: [ReadWriteOnce]}`)},
			want:       `{keys: [], published: true, verdict: "", warnings: [DiskPolicyPinned], warning: to outlive its connection}`,
		},
		"Zone": {
			reason:     "pods that mount a volume of one zone are bound to it",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    inZone(t, `[{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1a]}]}]`, `{}`),
			want:       `{verdict: "", zone: eu-west-1a, warnings: []}`,
		},
		"ZoneByDriver": {
			reason:     "drivers name zones by labels of their own, and a regional volume has two",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    inZone(t, `[{matchExpressions: [{key: topology.gke.io/zone, operator: In, values: [b, a]}, {key: kubernetes.io/os, operator: In, values: [linux]}]}, {matchExpressions: [{key: topology.gke.io/zone, operator: In, values: [a]}]}]`, `{}`),
			want:       `{zone: "a,b", warnings: []}`,
		},
		"NoZone": {
			reason:     "a volume that any node can mount is in no zone",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    inZone(t, `null`, `{topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]}`),
			want:       `{zone: "", warnings: []}`,
		},
		"ZoneSpread": {
			reason:     "pods that must be in every zone can't all be where the volume is",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    inZone(t, `[{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1a]}]}]`, `{topologySpreadConstraints: [{topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}, {topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]}`),
			want:       `{verdict: "", warnings: [ZoneSpread], warning: 'Deployment "api" must spread over zones, and PersistentVolumeClaim "shared" is in eu-west-1a only'}`,
		},
		"ZonePreferred": {
			reason:     "pods that should spread, but needn't, run where the volume is",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    inZone(t, `[{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1a]}]}]`, `{topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}]}`),
			want:       `{warnings: []}`,
		},
		"ReplicasUnsafe": {
			reason:     "one node can mount the volume, and replicas may be on many",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    running(t, bound, `{spec: {replicas: 3, strategy: {type: Recreate}}}`),
			want:       `{verdict: "", warnings: [ReplicasUnsafe], warning: 'Deployment "api" has 3 replicas'}`,
		},
		"RolloutBlocks": {
			reason:     "a rolling update waits for the pod that it replaces",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    running(t, bound, `{spec: {replicas: 1, strategy: {type: RollingUpdate}}}`),
			want:       `{verdict: "", warnings: [RolloutBlocks], warning: 'set spec.strategy.type: Recreate'}`,
		},
		"Defaults": {
			reason:     "a Deployment that says nothing has one replica and rolls",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    running(t, bound, `{spec: {}}`),
			want:       `{warnings: [RolloutBlocks]}`,
		},
		"Both": {
			reason:     "both are told",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    running(t, bound, `{spec: {replicas: 2}}`),
			want:       `{warnings: [ReplicasUnsafe, RolloutBlocks]}`,
		},
		"ManyNodes": {
			reason:     "a volume for many nodes is safe",
			connection: `{type: disk, config: {diskName: shared}}`,
			context:    running(t, `{spec: {accessModes: [ReadWriteOnce, ReadWriteMany]}}`, `{spec: {replicas: 2}}`),
			want:       `{warnings: []}`,
		},
		"OtherWorkload": {
			reason:     "a StatefulSet replaces a pod before it starts the next",
			connection: `{type: disk, config: {diskName: shared}}`,
			context: func(c *Context) {
				c.Service.Workload.Kind = "StatefulSet"
				c.Workload = map[string]any{"spec": map[string]any{"replicas": int64(2)}}
				c.Observed.Required[c.volumeClaimRequirement().Key()] = map[string]any{
					"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}},
				}
			},
			want: `{warnings: []}`,
		},
	})
}

// TestDiskName holds that an Object's name fits, and is of one namespace.
func TestDiskName(t *testing.T) {
	t.Parallel()

	name := strings.Repeat("d", 63)
	expandCases(t, diskSettings, map[string]expandCase{
		"Long": {
			reason:     "names stay label values",
			settings:   `{disks: [{name: ` + name + `, namespaces: ["*"], create: {size: 1Gi}}]}`,
			connection: `{type: disk, config: {diskName: ` + name + `}}`,
			context:    found(t, ""),
			want:       `{keys: [disk.` + name + `]}`,
		},
	})
}

func TestLarger(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		a, b   string
		want   bool
	}{
		"Larger":     {reason: "quantities compare across units", a: "1Ti", b: "1000Gi", want: true},
		"Same":       {reason: "the same quantity in another unit isn't larger", a: "1Gi", b: "1024Mi"},
		"Smaller":    {reason: "a smaller one isn't", a: "1G", b: "1Gi"},
		"Absent":     {reason: "nothing is larger than nothing", a: "", b: "1Gi"},
		"Unreadable": {reason: "what can't be read is left to the API server", a: "1Gi", b: "much"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, larger(tc.a, tc.b)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestZoneOfAnothersVolume isn't told to a team that only names the volume.
func TestZoneOfAnothersVolume(t *testing.T) {
	t.Parallel()

	pvc := decode(t, `{kind: PersistentVolumeClaim, metadata: {name: cache, namespace: team-a}, spec: {volumeName: pv-1}, status: {phase: Pending}}`)
	for name, tc := range map[string]struct{ reason, claimRef, want string }{
		"Own":              {reason: "A volume that is bound to the claim is the team's.", claimRef: `{namespace: team-a, name: cache}`, want: "eu-west-1a"},
		"AnotherNamespace": {reason: "That of another team's claim isn't.", claimRef: `{namespace: team-b, name: cache}`},
		"AnotherName":      {reason: "Nor is that of another claim.", claimRef: `{namespace: team-a, name: other}`},
		"Nobodys":          {reason: "What nobody has claimed tells nothing yet.", claimRef: `null`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			volume := decode(t, `{kind: PersistentVolume, spec: {claimRef: `+tc.claimRef+`, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1a]}]}]}}}}`)
			c := Context{Observed: Observed{Required: map[string]map[string]any{Requirement{APIVersion: "v1", Kind: "PersistentVolume", Name: "pv-1"}.Key(): volume}}}
			if got := c.boundVolume(Expansion{}, pvc).Zone; got != tc.want {
				t.Errorf("%s boundVolume(...): want zone %q, got %q", tc.reason, tc.want, got)
			}
		})
	}
}

// TestVolumeThatHasNoName can't be asked for: a volume claim may name anything, of any
// length, and Crossplane takes no answer of more than 4 MiB.
func TestVolumeThatHasNoName(t *testing.T) {
	t.Parallel()

	for name, volume := range map[string]string{"Long": strings.Repeat("x", 1<<20), "NoName": "../secrets", "None": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			pvc := map[string]any{"kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "cache", "namespace": "team-a"}, "spec": map[string]any{"volumeName": volume}}
			if e := (Context{}).boundVolume(Expansion{}, pvc); len(e.Requires) > 0 {
				t.Errorf("boundVolume(...) of volume %.20q: want nothing asked for, got %.100v", volume, e.Requires)
			}
		})
	}
}
