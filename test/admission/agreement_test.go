package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A delivery is one pod that asks for one injection. Both deliveries answer it.
type delivery struct {
	reason      string
	connections []string
	change      func(in *claim.Injection)
	pod         string

	// conflict that keeps the pod as it is; empty where it gets the injection.
	conflict string
}

var deliveries = map[string]delivery{
	"PlainPod": {
		reason:      "A pod that sets nothing gets everything.",
		connections: []string{"podIdentity", "azure", "cloudSql", "disk"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"PodIdentity": {
		reason:      "What awsRole emits in mode PodIdentity is accepted.",
		connections: []string{"podIdentity"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"PodIdentityIPv6": {
		reason:      "What awsRole emits in an IPv6 cluster is accepted.",
		connections: []string{"podIdentityIPv6"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"IRSA": {
		reason:      "What awsRole emits in mode IRSA is accepted.",
		connections: []string{"irsa"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"Azure": {
		reason:      "What azureManagedIdentity emits is accepted.",
		connections: []string{"azure"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"CloudSQL": {
		reason:      "What cloudSql emits for a domain-scoped project is accepted.",
		connections: []string{"cloudSql"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"CloudSQLPrivate": {
		reason:      "What cloudSql emits for a private address is accepted.",
		connections: []string{"cloudSqlPrivate"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"Disk": {
		reason:      "What disk emits is accepted.",
		connections: []string{"disk"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"DiskReadOnly": {
		reason:      "What disk emits with every option is accepted.",
		connections: []string{"diskReadOnly"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"ServiceAccountOnly": {
		reason: "A service whose connections need only an identity gets its service account.",
		pod:    `spec: {containers: [{name: api, image: api}]}`,
	},
	"DefaultServiceAccount": {
		reason:      "The API server has filled in the default by the time of admission.",
		connections: []string{"podIdentity"},
		pod:         `spec: {serviceAccountName: default, serviceAccount: default, containers: [{name: api, image: api}]}`,
	},
	"SameServiceAccount": {
		reason:      "A pod that names the injection's service account itself is right already.",
		connections: []string{"podIdentity"},
		pod:         `spec: {serviceAccountName: shop-api, serviceAccount: shop-api, containers: [{name: api, image: api}]}`,
	},
	"OtherServiceAccount": {
		reason:      "Another service account would take away the pod's RBAC and pull secrets.",
		connections: []string{"podIdentity"},
		pod:         `spec: {serviceAccountName: own, serviceAccount: own, containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonServiceAccountInUse,
	},
	"InitContainersToo": {
		reason:      "A migration in an init container needs the connection, and the proxy before it.",
		connections: []string{"podIdentity", "cloudSql", "disk"},
		pod: `
spec:
  initContainers: [{name: migrate, image: api}, {name: warm, image: api}]
  containers: [{name: api, image: api}, {name: worker, image: api}]`,
	},
	"ChosenContainers": {
		reason:      "Only the containers that the claim names get variables and mounts.",
		connections: []string{"podIdentity", "cloudSql", "disk"},
		change:      func(in *claim.Injection) { in.Containers = []string{"api", "migrate"} },
		pod: `
spec:
  initContainers: [{name: migrate, image: api}, {name: warm, image: api}]
  containers: [{name: mesh, image: mesh}, {name: api, image: api}]`,
	},
	"ChosenContainersOfAll": {
		reason:      "The webhooks of two clouds leave alone what the claim doesn't name, and the proxy.",
		connections: []string{"podIdentity", "azure", "cloudSql"},
		change:      func(in *claim.Injection) { in.Containers = []string{"api"} },
		pod: `
spec:
  initContainers: [{name: migrate, image: api}]
  containers: [{name: mesh, image: mesh}, {name: api, image: api}]`,
	},
	"OwnExemption": {
		reason:      "What the webhooks leave alone is the team's to say.",
		connections: []string{"irsa", "cloudSql"},
		pod: `
metadata: {annotations: {eks.amazonaws.com/skip-containers: mesh}}
spec: {containers: [{name: mesh, image: mesh}, {name: api, image: api}]}`,
	},
	"UnknownContainer": {
		reason:      "A name that no container has is a mistake, and the status says so.",
		connections: []string{"podIdentity"},
		change:      func(in *claim.Injection) { in.Containers = []string{"api", "wroker"} },
		pod:         `spec: {containers: [{name: api, image: api}, {name: worker, image: api}]}`,
		conflict:    workload.ReasonContainerNotFound,
	},
	"OwnVariables": {
		reason:      "A variable that a container sets stays, whatever its value.",
		connections: []string{"podIdentity", "cloudSql"},
		pod: `
spec:
  containers:
  - name: api
    image: api
    env:
    - {name: AWS_REGION, value: us-east-1}
    - {name: DB_HOST, valueFrom: {configMapKeyRef: {name: db, key: host}}}
    - {name: LOG_LEVEL, value: debug}
  - {name: worker, image: api, env: [{name: DB_PORT, value: ""}]}`,
	},
	"OwnGivenVariables": {
		reason:      "Nor does the claim's name for a variable overwrite a container's own.",
		connections: []string{"cloudSqlGivenVariables"},
		pod: `
spec:
  containers:
  - {name: api, image: api, env: [{name: PGHOST, value: db.example.org}]}
  - {name: worker, image: api, env: [{name: PGPORT, value: "1"}], envFrom: [{configMapRef: {name: api}}]}`,
	},
	"EnvFrom": {
		reason:      "A ConfigMap may hold the region and the address of the database; a literal would win over it.",
		connections: []string{"podIdentity", "cloudSql"},
		pod: `
spec:
  containers:
  - {name: api, image: api, envFrom: [{configMapRef: {name: api}}]}
  - {name: worker, image: api}`,
	},
	"OwnVolumesAndMounts": {
		reason:      "What the pod has keeps its order and comes first.",
		connections: []string{"podIdentity", "disk"},
		pod: `
spec:
  volumes: [{name: tmp, emptyDir: {}}, {name: config, configMap: {name: api}}]
  containers: [{name: api, image: api, volumeMounts: [{name: tmp, mountPath: /tmp}, {name: config, mountPath: /data}]}]`,
	},
	"VolumeDefaulted": {
		reason:      "What EKS's webhook made, or defaults have added to, is the same volume.",
		connections: []string{"podIdentity"},
		pod: `
spec:
  volumes:
  - name: eks-pod-identity-token
    projected: {defaultMode: 420, sources: [{serviceAccountToken: {audience: pods.eks.amazonaws.com, expirationSeconds: 86400, path: eks-pod-identity-token}}]}
  containers: [{name: api, image: api, volumeMounts: [{name: eks-pod-identity-token, readOnly: true, mountPath: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount}]}]`,
	},
	"VolumeOfAnotherKind": {
		reason:      "A volume of our name with other content is somebody else's.",
		connections: []string{"podIdentity"},
		pod:         `spec: {volumes: [{name: eks-pod-identity-token, emptyDir: {}}], containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonNameConflict,
	},
	"TokenOfAnotherAudience": {
		reason:      "A token for somebody else doesn't open AWS.",
		connections: []string{"irsa"},
		pod: `
spec:
  volumes: [{name: aws-iam-token, projected: {sources: [{serviceAccountToken: {audience: vault, expirationSeconds: 86400, path: token}}]}}]
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"TokenBesideAnotherSource": {
		reason:      "A volume with one more source isn't the one that we mount.",
		connections: []string{"irsa"},
		pod: `
spec:
  volumes: [{name: aws-iam-token, projected: {sources: [{serviceAccountToken: {audience: sts.amazonaws.com, expirationSeconds: 86400, path: token}}, {configMap: {name: x}}]}}]
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"DiskOfAnotherClaim": {
		reason:      "The pod's own volume sc-disk holds other data.",
		connections: []string{"disk"},
		pod:         `spec: {volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: other}}], containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonNameConflict,
	},
	"DiskWritableWhereReadOnly": {
		reason:      "A disk that is shared read-only must not be mounted for writing.",
		connections: []string{"diskReadOnly"},
		pod:         `spec: {volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: cache-storage}}], containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonNameConflict,
	},
	"DiskReadOnlyByThePod": {
		reason:      "A pod may ask for less than the claim gives.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}]
  containers: [{name: api, image: api, volumeMounts: [{name: sc-disk, readOnly: true, mountPath: /data/cache-storage}]}]`,
	},
	"DisksOfOneClaim": {
		reason:      "A kubelet before Kubernetes 1.35 never starts a pod with two volumes of one claim.",
		connections: []string{"disk", "diskOfSameClaim", "diskOfSameClaimReadOnly", "diskNamed"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"DisksOfOneClaimThatNobodyWrites": {
		reason:      "The one volume is read-only then.",
		connections: []string{"diskReadOnly", "diskOfSameClaimReadOnly"},
		pod:         `spec: {containers: [{name: api, image: api}]}`,
	},
	"OwnVolumeOfTheClaim": {
		reason:      "The pod's own volume is the one, by which the disks are mounted.",
		connections: []string{"disk", "diskOfSameClaimReadOnly"},
		pod: `
spec:
  volumes: [{name: tmp, emptyDir: {}}, {name: data, persistentVolumeClaim: {claimName: cache-storage}}]
  containers: [{name: api, image: api, volumeMounts: [{name: data, mountPath: /own}]}]`,
	},
	"OwnVolumeOfTheClaimIsReadOnly": {
		reason:      "Through it the disk can't be written.",
		connections: []string{"disk", "diskOfSameClaimReadOnly"},
		pod: `
spec:
  volumes: [{name: data, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}]
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"OwnVolumeOfTheClaimIsReadOnlyAsTheDiskIs": {
		reason:      "Nothing is written.",
		connections: []string{"diskOfSameClaimReadOnly"},
		pod: `
spec:
  volumes: [{name: data, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}]
  containers: [{name: api, image: api}]`,
	},
	"OwnVolumesOfTheClaim": {
		reason:      "What is written is mounted by the one that can be.",
		connections: []string{"disk", "diskOfSameClaimReadOnly"},
		pod: `
spec:
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}
  - {name: written, persistentVolumeClaim: {claimName: cache-storage}}
  containers: [{name: api, image: api}]`,
	},
	"MountedByOwnVolumeOfTheClaim": {
		reason:      "What is at the path is the disk, by whatever name of it.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: data, persistentVolumeClaim: {claimName: cache-storage}}]
  containers: [{name: api, image: api, volumeMounts: [{name: data, mountPath: /data/cache-storage}]}]`,
	},
	"CopyOfAPodWithTwoVolumesOfOneClaim": {
		reason:      "An earlier version made pods so.",
		connections: []string{"disk", "diskOfSameClaimReadOnly"},
		pod: `
spec:
  volumes:
  - {name: sc-disk-all, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}
  - {name: sc-disk, persistentVolumeClaim: {claimName: cache-storage}}
  containers: [{name: api, image: api, volumeMounts: [{name: sc-disk-all, readOnly: true, mountPath: /srv/all}, {name: sc-disk, mountPath: /data/cache-storage}]}]`,
	},
	"MountPathTaken": {
		reason:      "Two volumes can't be mounted at one path.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: cache, emptyDir: {}}]
  containers: [{name: api, image: api, volumeMounts: [{name: cache, mountPath: /data/cache-storage}]}]`,
		conflict: workload.ReasonNameConflict,
	},
	"MountPathTakenWithSlash": {
		reason:      "A trailing slash doesn't make it another path.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: cache, emptyDir: {}}]
  containers: [{name: api, image: api, volumeMounts: [{name: cache, mountPath: /data/cache-storage/}]}]`,
		conflict: workload.ReasonNameConflict,
	},
	"MountPathTakenElsewhere": {
		reason:      "A container that gets no mounts may have anything there.",
		connections: []string{"disk"},
		change:      func(in *claim.Injection) { in.Containers = []string{"api"} },
		pod: `
spec:
  volumes: [{name: cache, emptyDir: {}}]
  containers: [{name: api, image: api}, {name: nginx, image: nginx, volumeMounts: [{name: cache, mountPath: /data/cache-storage}]}]`,
	},
	"MountedBefore": {
		reason:      "A container that mounts the disk itself isn't given it twice.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: cache-storage}}]
  containers: [{name: api, image: api, volumeMounts: [{name: sc-disk, mountPath: /data/cache-storage/}]}]`,
	},
	"OtherFolderMounted": {
		reason:      "The claim asks for one folder of the disk, and the pod mounts another one there.",
		connections: []string{"diskReadOnly"},
		pod: `
spec:
  volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: cache-storage, readOnly: true}}]
  containers: [{name: api, image: api, volumeMounts: [{name: sc-disk, readOnly: true, subPath: c, mountPath: /srv/cache}]}]`,
		conflict: workload.ReasonNameConflict,
	},
	"BlockDeviceAtMountPath": {
		reason:      "The API server refuses a device and a mount at one path.",
		connections: []string{"disk"},
		pod: `
spec:
  volumes: [{name: raw, persistentVolumeClaim: {claimName: raw}}]
  containers: [{name: api, image: api, volumeDevices: [{name: raw, devicePath: /data/cache-storage}]}]`,
		conflict: workload.ReasonNameConflict,
	},
	"ContainerOfOurName": {
		reason:      "The API server refuses two containers of one name.",
		connections: []string{"cloudSql"},
		pod:         `spec: {containers: [{name: api, image: api}, {name: sc-cloud-sql-proxy, image: other}]}`,
		conflict:    workload.ReasonNameConflict,
	},
	"InitContainerOfOurName": {
		reason:      "An init container of our name that isn't the proxy is somebody else's.",
		connections: []string{"cloudSql"},
		pod:         `spec: {initContainers: [{name: sc-cloud-sql-proxy, image: other}], containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonNameConflict,
	},
	"ProxyOfAnotherImage": {
		reason:      "What runs under our name is the image that the platform chose, or the pod is somebody else's.",
		connections: []string{"cloudSqlPrivate"},
		pod: `
spec:
  initContainers:
  - name: sc-cloud-sql-proxy
    image: other
    args: ["my-project-123456:us-east1:my-instance?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]
    restartPolicy: Always
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"ProxyThereBefore": {
		reason:      "A proxy that is ours stays where it is, and isn't a container of the workload.",
		connections: []string{"cloudSqlPrivate", "podIdentity"},
		pod: `
spec:
  initContainers:
  - {name: wait, image: api}
  - name: sc-cloud-sql-proxy
    image: gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0
    args: ["my-project-123456:us-east1:my-instance?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]
    restartPolicy: Always
    ports: [{containerPort: 9801}]
  containers: [{name: api, image: api}]`,
	},
	"ProxyOfAnotherInstance": {
		reason:      "A proxy to another database isn't the one that the claim asks for.",
		connections: []string{"cloudSqlPrivate"},
		pod: `
spec:
  initContainers:
  - name: sc-cloud-sql-proxy
    image: gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0
    args: ["my-project-123456:us-east1:other?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]
    restartPolicy: Always
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"ProxyThatEnds": {
		reason:      "An init container of our name that isn't a sidecar would never let the pod start.",
		connections: []string{"cloudSqlPrivate"},
		pod: `
spec:
  initContainers:
  - name: sc-cloud-sql-proxy
    image: gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0
    args: ["my-project-123456:us-east1:my-instance?port=5432", --structured-logs, --exit-zero-on-sigterm, --health-check, --http-address=0.0.0.0, --http-port=9801, --private-ip]
  containers: [{name: api, image: api}]`,
		conflict: workload.ReasonNameConflict,
	},
	"ContainerOfOurNameWithoutProxy": {
		reason:      "Where no proxy is injected, its name is free and the container is one of the workload.",
		connections: []string{"podIdentity"},
		pod:         `spec: {containers: [{name: sc-cloud-sql-proxy, image: other}]}`,
	},
	"DatabasePortTaken": {
		reason:      "Two processes can't listen on one port of the pod.",
		connections: []string{"cloudSql"},
		pod:         `spec: {containers: [{name: api, image: api, ports: [{containerPort: 8080}, {containerPort: 5432, protocol: TCP}]}]}`,
		conflict:    workload.ReasonPortConflict,
	},
	"ProbePortTaken": {
		reason:      "The proxy's probes would ask the workload.",
		connections: []string{"cloudSql"},
		pod:         `spec: {initContainers: [{name: own, image: own, restartPolicy: Always, ports: [{containerPort: 9801}]}], containers: [{name: api, image: api}]}`,
		conflict:    workload.ReasonPortConflict,
	},
	"DatabasePortOverUDP": {
		reason:      "The proxy listens over TCP only.",
		connections: []string{"cloudSql"},
		pod:         `spec: {containers: [{name: api, image: api, ports: [{containerPort: 5432, protocol: UDP}]}]}`,
	},
	"PortsWithoutProxy": {
		reason:      "Without a proxy every port is free.",
		connections: []string{"disk"},
		pod:         `spec: {containers: [{name: api, image: api, ports: [{containerPort: 5432}, {containerPort: 9801}]}]}`,
	},
	"OwnLabelsAndAnnotations": {
		reason:      "The pod's own metadata stays.",
		connections: []string{"azure"},
		pod: `
metadata: {labels: {app: api, azure.workload.identity/use: "true"}, annotations: {team: a}}
spec: {containers: [{name: api, image: api}]}`,
	},
	"LabelSaysOtherwise": {
		reason:      "A team that switches workload identity off for a pod means it.",
		connections: []string{"azure", "podIdentity"},
		pod: `
metadata: {labels: {azure.workload.identity/use: "false"}}
spec: {containers: [{name: api, image: api}]}`,
		conflict: workload.ReasonNameConflict,
	},
	"AnnotatedByHand": {
		reason:      "A pod that says it has another injection isn't given this one on top.",
		connections: []string{"podIdentity"},
		pod: `
metadata: {annotations: {serviceconnections.io/injection: fedcba9876543210}}
spec: {containers: [{name: api, image: api}]}`,
		conflict: workload.ReasonNameConflict,
	},
	"OwnFSGroup": {
		reason:      "The group that the pod sets stays, also where it is root's.",
		connections: []string{"diskReadOnly"},
		pod:         `spec: {securityContext: {fsGroup: 0}, containers: [{name: api, image: api}]}`,
	},
	"OtherSecurityContext": {
		reason:      "The group joins what the pod sets otherwise.",
		connections: []string{"diskReadOnly"},
		pod:         `spec: {securityContext: {runAsUser: 1000, runAsNonRoot: true}, containers: [{name: api, image: api}]}`,
	},
}

func TestDeliveriesAgree(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	for name, tc := range deliveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := injection(t, tc.connections...)
			if tc.change != nil {
				tc.change(&in)
			}
			pod := readPod(t, tc.pod)
			admitted, err := p.admitBoth(t, forms, pod, shop(t, in))
			if err != nil {
				t.Fatalf("%s\nthe policy fails: %v", tc.reason, err)
			}
			want, conflicts := rendered(t, pod, in)
			if tc.conflict != "" {
				if len(conflicts) != 1 || conflicts[0].Reason != tc.conflict {
					t.Errorf("%s\nconflicts %v, want one %s", tc.reason, conflicts, tc.conflict)
				}
				want = pod
			} else if len(conflicts) > 0 {
				t.Fatalf("%s\nconflicts: %v", tc.reason, conflicts)
			}
			if diff := cmp.Diff(agreed(want), agreed(admitted), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s\n-rendered +admitted:\n%s", tc.reason, diff)
			}
			wantBy := "shop"
			if tc.conflict != "" {
				wantBy = ""
			}
			if got := admitted.Annotations[injectedBy]; got != wantBy {
				t.Errorf("%s\ninjected by %q, want %q", tc.reason, got, wantBy)
			}
			again, err := p.admitBoth(t, forms, admitted, shop(t, in))
			if err != nil {
				t.Fatalf("%s\nthe policy fails the second time: %v", tc.reason, err)
			}
			if diff := cmp.Diff(admitted, again); diff != "" {
				t.Errorf("%s\n-once +twice:\n%s", tc.reason, diff)
			}
		})
	}
}
