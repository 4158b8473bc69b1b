package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestWorkloadKinds lets the real controllers make the pods.
func TestWorkloadKinds(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string

		// workload of the service, and the object, whose pods have the label
		// app: <service>.
		workload, object string
	}{
		"deployment": {
			reason:   "A Deployment's pods belong to a ReplicaSet of its.",
			workload: "{kind: Deployment, name: deployment.v1}",
			object: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: deployment.v1}
spec: {selector: {matchLabels: {app: deployment}}, template: TEMPLATE}`,
		},
		"replicaset": {
			reason:   "A ReplicaSet may stand alone.",
			workload: "{kind: ReplicaSet, name: replicaset}",
			object: `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: replicaset}
spec: {selector: {matchLabels: {app: replicaset}}, template: TEMPLATE}`,
		},
		"statefulset": {
			reason:   "A StatefulSet makes its pods itself.",
			workload: "{kind: StatefulSet, name: statefulset}",
			object: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: statefulset}
spec: {serviceName: none, selector: {matchLabels: {app: statefulset}}, template: TEMPLATE}`,
		},
		"daemonset": {
			reason:   "A DaemonSet has a pod for the one node.",
			workload: "{kind: DaemonSet, name: daemonset}",
			object: `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemonset}
spec: {selector: {matchLabels: {app: daemonset}}, template: TEMPLATE}`,
		},
		"job": {
			reason:   "A Job makes its pods itself.",
			workload: "{apiVersion: batch/v1, kind: Job, name: job.v1}",
			object: `
apiVersion: batch/v1
kind: Job
metadata: {name: job.v1}
spec: {template: TEMPLATE}`,
		},
		"cronjob": {
			reason:   "A CronJob's Jobs are named after it and the time, with dots as it has them.",
			workload: "{apiVersion: batch/v1, kind: CronJob, name: nightly.report.v2}",
			object: `
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly.report.v2}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: TEMPLATE}}}`,
		},
	}
	eachMode(t, func(team *team) {
		var services strings.Builder
		for name, tc := range cases {
			fmt.Fprintf(&services, "- {name: %s, workload: %s, connections: [{type: awsRole, role: my-app-s3-access}]}\n", name, tc.workload)
		}
		team.connect(services.String())
		// A DaemonSet's pods are for nodes. This one has no kubelet.
		if err := team.ApplyYAML(team.t.Context(), "{apiVersion: v1, kind: Node, metadata: {name: node}}"); err != nil {
			team.t.Fatal(err)
		}
		for name, tc := range cases {
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				team.awaitInjecting("shop", name)
				team.apply(strings.Replace(tc.object, "TEMPLATE", podTemplate(name, tc.object), 1))
				if name == "cronjob" {
					team.missSchedule("nightly.report.v2")
				}
				pod := &team.awaitPods(name, 1)[0]
				team.wantInjected(pod, "shop", name)
				if pod.Spec.ServiceAccountName != "shop-"+name || !strings.Contains(view(pod), "volume eks-pod-identity-token") {
					t.Errorf("%s\nthe pod has not all of its injection:\n%s", tc.reason, view(pod))
				}
			})
		}
		team.awaitReady()
	})
}

// podTemplate of a workload in one line.
func podTemplate(app, object string) string {
	restart := "Always"
	if strings.Contains(object, "batch/v1") {
		restart = "Never"
	}
	return fmt.Sprintf("{metadata: {labels: {app: %[1]s}}, spec: {restartPolicy: %[2]s, tolerations: [{operator: Exists}], containers: [{name: %[1]s, image: 'registry.example.org/%[1]s:1'}]}}", app, restart)
}

// missSchedule of a CronJob, which its controller makes up for at once: a minute
// is long to wait for. All but the clock is real then, the name of the Job too.
func (t *team) missSchedule(name string) {
	t.t.Helper()
	cj := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.namespace}}
	last := time.Now().Add(-2 * time.Minute).UTC().Format(time.RFC3339)
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status": {"lastScheduleTime": "`+last+`"}}`))
	if err := t.Client.Status().Patch(t.t.Context(), cj, patch); err != nil {
		t.t.Fatal(err)
	}
}

// TestLabelledPod is for pods whose controller doesn't tell their workload.
func TestLabelledPod(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason   string
		labels   map[string]string
		injected bool
	}{
		"Both":         {"The labels name claim and service.", map[string]string{labelClaim: "shop", labelService: "api"}, true},
		"OtherClaim":   {"A claim that isn't there injects nothing.", map[string]string{labelClaim: "other", labelService: "api"}, false},
		"OtherService": {"A service that isn't there neither.", map[string]string{labelClaim: "shop", labelService: "other"}, false},
		"ServiceAlone": {"Half of it names nothing.", map[string]string{labelService: "api"}, false},
		"ClaimAlone":   {"Half of it names nothing.", map[string]string{labelClaim: "shop"}, false},
		"None":         {"A bare pod is nobody's.", nil, false},
	}
	eachMode(t, func(team *team) {
		team.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		team.awaitInjecting("shop", "api")
		for name, tc := range cases {
			pod := team.barePod(strings.ToLower(name))
			pod.Labels = tc.labels
			if err := team.Client.Create(team.t.Context(), pod); err != nil {
				team.t.Fatal(err)
			}
			if !tc.injected {
				team.wantPlain(pod)
				continue
			}
			team.wantInjected(pod, "shop", "api")
		}
	})
}

// TestPodOfItsOwn is a service whose workload is a Pod.
func TestPodOfItsOwn(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, workload: {apiVersion: v1, kind: Pod, name: once}, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitInjecting("shop", "api")
		pod := team.barePod("once")
		if err := team.Client.Create(team.t.Context(), pod); err != nil {
			team.t.Fatal(err)
		}
		team.wantInjected(pod, "shop", "api")
	})
}

// TestUsersPod keeps all that it has.
func TestUsersPod(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - ` + cloudSQL + `
  - {type: disk, config: {diskName: uploads, fsGroup: 1000}}`)
		team.awaitInjecting("shop", "api")
		team.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata:
      labels: {app: api, example.org/team: a}
    spec:
      securityContext: {fsGroup: 2000}
      initContainers:
      - name: migrate
        image: registry.example.org/migrate:1
        env: [{name: DB_NAME, value: orders}]
      containers:
      - name: api
        image: registry.example.org/api:1
        env:
        - {name: AWS_REGION, value: us-east-1}
        - {name: DB_URL, value: "postgres://$(DB_HOST):$(DB_PORT)"}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
      - name: metrics
        image: registry.example.org/metrics:1
        envFrom: [{configMapRef: {name: metrics}}]
      volumes: [{name: tmp, emptyDir: {}}]
`)
		const agent = `  env AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials
`
		const mounts = `  mount sc-disk /data/uploads rw
  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro
`
		const database = `  env AWS_STS_REGIONAL_ENDPOINTS=regional
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:orders
  env DB_PORT=5432
`
		// The proxy is there before the migration. A group and a region of the
		// pod's own stay. What envFrom brings isn't seen, so there only that is
		// added which credentials need.
		team.wantPod(&team.awaitPods("api", 1)[0], `
serviceAccount shop-api
label example.org/team=a
fsGroup 2000
volume tmp emptyDir
volume eks-pod-identity-token token pods.eks.amazonaws.com 86400s eks-pod-identity-token
volume sc-disk claim uploads readOnly=false
sidecar sc-cloud-sql-proxy `+proxyImage+`
  args `+proxyArgs+`
init migrate registry.example.org/migrate:1
  env DB_NAME=orders
`+agent+`  env AWS_DEFAULT_REGION=eu-west-1
  env AWS_REGION=eu-west-1
`+database+mounts+`container api registry.example.org/api:1
  env AWS_REGION=us-east-1
  env DB_URL=postgres://$(DB_HOST):$(DB_PORT)
`+agent+`  env AWS_DEFAULT_REGION=eu-west-1
`+database+`  mount tmp /tmp rw
`+mounts+`container metrics registry.example.org/metrics:1
  envFrom metrics
`+agent+`  env AWS_STS_REGIONAL_ENDPOINTS=regional
`+mounts)
		team.awaitReady()
	})
}

// TestContainers that a service names get variables and mounts, others none.
func TestContainers(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, containers: [main], connections: [{type: disk, config: {diskName: uploads}}]}")
		team.awaitInjecting("shop", "api")
		team.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - {name: main, image: "registry.example.org/main:1"}
      - {name: metrics, image: "registry.example.org/metrics:1"}
`)
		team.wantPod(&team.awaitPods("api", 1)[0], `
serviceAccount shop-api
volume sc-disk claim uploads readOnly=false
container main registry.example.org/main:1
  mount sc-disk /data/uploads rw
container metrics registry.example.org/metrics:1
`)
	})
}

// TestConflicts are pods that hold already what an injection would bring. They
// stay as they are, since half an injection is worse than none, and the team reads
// what to change.
func TestConflicts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason          string
		connection, pod string
		typ             claim.ConnectionType
		want            string
		message         string
	}{
		"account": {
			reason:     "Another ServiceAccount would lack this one's rights.",
			connection: "{type: awsRole, role: my-app-s3-access}",
			typ:        claim.TypeAWSRole,
			pod:        "{serviceAccountName: own, containers: [{name: main, image: main}]}",
			want:       "ServiceAccountInUse",
			message:    `Deployment "account" already runs as ServiceAccount "own"; set services[account].serviceAccountName: own`,
		},
		"proxy": {
			reason:     "A proxy that the team runs itself.",
			connection: cloudSQL,
			typ:        claim.TypeCloudSQL,
			pod:        "{containers: [{name: main, image: main}, {name: sc-cloud-sql-proxy, image: proxy}]}",
			want:       "NameConflict",
			message:    `Deployment "proxy" has a container "sc-cloud-sql-proxy" of its own, a name that the injection uses; rename it`,
		},
		"volume": {
			reason:     "A volume of this name that is something else.",
			connection: "{type: disk, config: {diskName: uploads}}",
			typ:        claim.TypeDisk,
			pod:        "{containers: [{name: main, image: main}], volumes: [{name: sc-disk, emptyDir: {}}]}",
			want:       "NameConflict",
			message:    `Deployment "volume" has a volume "sc-disk" of its own, a name that the injection uses; rename it`,
		},
		"mount": {
			reason:     "The disk would hide what is mounted there.",
			connection: "{type: disk, config: {diskName: uploads}}",
			typ:        claim.TypeDisk,
			pod:        "{containers: [{name: main, image: main, volumeMounts: [{name: tmp, mountPath: /data/uploads}]}], volumes: [{name: tmp, emptyDir: {}}]}",
			want:       "NameConflict",
			message:    `Deployment "mount" mounts volume "tmp" at /data/uploads in container "main", where the injection mounts "sc-disk"; mount one of them elsewhere`,
		},
		"port": {
			reason:     "Containers of a pod share their ports.",
			connection: cloudSQL,
			typ:        claim.TypeCloudSQL,
			pod:        "{containers: [{name: main, image: main, ports: [{containerPort: 5432}]}]}",
			want:       "PortConflict",
			message:    `Deployment "port" listens on port 5432 in container "main", where sc-cloud-sql-proxy listens too; change one of the ports`,
		},
		"container": {
			reason:     "A container that the service names must be there.",
			connection: "{type: disk, config: {diskName: uploads}}], containers: [api",
			typ:        claim.TypeDisk,
			pod:        "{containers: [{name: main, image: main}]}",
			want:       "ContainerNotFound",
			message:    `Deployment "container" has no container "api", only "main"; correct services[container].containers`,
		},
	}
	eachMode(t, func(team *team) {
		var services strings.Builder
		for name, tc := range cases {
			fmt.Fprintf(&services, "- {name: %s, connections: [%s]}\n", name, tc.connection)
		}
		team.connect(services.String())
		team.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: own}}")
		for name := range cases {
			if name != "container" {
				team.awaitInjecting("shop", name)
			}
		}
		for name, tc := range cases {
			team.applyf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template: {metadata: {labels: {app: %[1]s}}, spec: %[2]s}`, name, tc.pod)
		}
		for name, tc := range cases {
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				pod := &team.awaitPods(name, 1)[0]
				team.wantPlain(pod)
				if n := len(pod.Spec.InitContainers); n > 0 || strings.Contains(view(pod), " env ") {
					t.Errorf("%s\nthe pod has something of the injection:\n%s", tc.reason, view(pod))
				}
				team.awaitMessage(name, tc.typ, tc.want, func(m string) bool { return m == tc.message })
			})
		}
	})
}

// TestQuota that demands requests and limits of every container, the proxy too.
func TestQuota(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.apply(`
apiVersion: v1
kind: ResourceQuota
metadata: {name: all}
spec: {hard: {requests.cpu: "2", requests.memory: 2Gi, limits.cpu: "4", limits.memory: 4Gi}}
`)
		team.connect("- {name: api, connections: [" + cloudSQL + "]}")
		team.awaitInjecting("shop", "api")
		team.eventually("the quota is enforced", func(ctx context.Context) error {
			pod := team.barePod("unlimited")
			pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
			if err := team.Client.Create(ctx, pod, client.DryRunAll); !kerrors.IsForbidden(err) {
				return fmt.Errorf("a pod without limits is created: %w", err)
			}
			return nil
		})
		team.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - name: api
        image: registry.example.org/api:1
        resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 100m, memory: 64Mi}}
`)
		pod := &team.awaitPods("api", 1)[0]
		team.wantInjected(pod, "shop", "api")
		if n := len(pod.Spec.InitContainers); n != 1 {
			team.t.Errorf("%d init containers, want the proxy:\n%s", n, view(pod))
		}
	})
}

// TestTwoClaims of a namespace, each with its own service, and one of a name that
// both have.
func TestTwoClaims(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}\n- {name: web, workload: {name: shop-web}, connections: [{type: disk, config: {diskName: uploads}}]}")
		team.apply(`
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: billing}
spec:
  services:
  - {name: worker, connections: [{type: awsRole, role: my-app-other}]}
  - {name: web, workload: {name: billing-web}, connections: [{type: awsRole, role: my-app-other}]}
`)
		for app, of := range map[string][2]string{
			"api": {"shop", "api"}, "shop-web": {"shop", "web"}, "worker": {"billing", "worker"}, "billing-web": {"billing", "web"},
		} {
			team.awaitInjecting(of[0], of[1])
			team.apply(deployment(app))
			pod := &team.awaitPods(app, 1)[0]
			team.wantInjected(pod, of[0], of[1])
			if want := of[0] + "-" + of[1]; pod.Spec.ServiceAccountName != want {
				team.t.Errorf("pod of %s runs as %q, want %q", app, pod.Spec.ServiceAccountName, want)
			}
		}
	})
}

// TestOtherNamespace has a workload of the same name, which is none of the claim's.
func TestOtherNamespace(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitInjecting("shop", "api")
		other := as(team.t, team)
		other.namespace = newNamespace(team.t, team.cluster, "")
		other.apply(deployment("api"))
		pod := &other.awaitPods("api", 1)[0]
		other.wantPlain(pod)
		other.wantPod(pod, "serviceAccount default\ncontainer api registry.example.org/api:1\n  env LOG_LEVEL=info")

		// Nor do labels reach over.
		labelled := other.barePod("labelled")
		labelled.Labels = map[string]string{labelClaim: "shop", labelService: "api"}
		if err := other.Client.Create(team.t.Context(), labelled); err != nil {
			team.t.Fatal(err)
		}
		other.wantPlain(labelled)
	})
}

// TestReinvocation by another policy that changes each pod, before or after: the
// API server says in no order that it keeps.
func TestReinvocation(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		other := "other-" + team.namespace
		if err := team.ApplyYAML(team.t.Context(), `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: `+other+`}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: `+team.namespace+`}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: |
        Object{metadata: Object.metadata{labels: has(object.metadata.annotations) && "serviceconnections.io/injection" in object.metadata.annotations
          ? {"example.org/after": "true"} : {"example.org/before": "true"}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: `+other+`}
spec: {policyName: `+other+`}
`); err != nil {
			team.t.Fatal(err)
		}
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}, " + cloudSQL + "]}")
		team.awaitInjecting("shop", "api")
		team.eventually("the other policy is in force after ours", func(ctx context.Context) error {
			pod := team.barePod("try")
			pod.Labels = map[string]string{labelClaim: "shop", labelService: "api"}
			if err := team.Client.Create(ctx, pod, client.DryRunAll); err != nil {
				return err
			}
			if pod.Labels["example.org/after"] == "" {
				return fmt.Errorf("labels %v", pod.Labels)
			}
			return nil
		})
		team.apply(deployment("api"))
		pod := &team.awaitPods("api", 1)[0]
		team.wantInjected(pod, "shop", "api")
		counts := map[string]int{}
		for _, l := range lines(view(pod)) {
			if !strings.HasPrefix(l, "label ") {
				counts[l]++
			}
		}
		for l, n := range counts {
			if n > 1 {
				team.t.Errorf("%d times %q:\n%s", n, l, view(pod))
			}
		}
		for _, l := range []string{"sidecar sc-cloud-sql-proxy " + proxyImage, "  env DB_HOST=127.0.0.1", "  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro"} {
			if counts[l] != 1 {
				team.t.Errorf("%d times %q, want once:\n%s", counts[l], l, view(pod))
			}
		}
	})
}

// TestClaimDeleted leaves running pods alone; new ones are as the team wrote them.
func TestClaimDeleted(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))
		running := team.awaitPods("api", 1)[0]
		team.wantInjected(&running, "shop", "api")

		claimed := team.get("serviceconnections.io/v1alpha1", "ServiceConnection", "shop")
		if err := team.Client.Delete(team.t.Context(), claimed, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
			team.t.Fatal(err)
		}
		team.eventually("the claim and its ServiceAccount are gone", func(ctx context.Context) error {
			for kind, name := range map[string]string{"ServiceConnection": "shop", "ServiceAccount": "shop-api"} {
				apiVersion := "v1"
				if kind == "ServiceConnection" {
					apiVersion = "serviceconnections.io/v1alpha1"
				}
				if u, err := team.Get(ctx, apiVersion, kind, team.namespace, name); err != nil || u != nil {
					return fmt.Errorf("%s %q is still there: %w", kind, name, err)
				}
			}
			return nil
		})
		team.apply(strings.Replace(deployment("api"), "\nspec:", "\nspec:\n  replicas: 2", 1))
		for _, pod := range team.awaitPods("api", 2) {
			if pod.UID != running.UID {
				team.wantPlain(&pod)
				team.wantPod(&pod, "serviceAccount default\ncontainer api registry.example.org/api:1\n  env LOG_LEVEL=info")
				continue
			}
			team.wantPod(&pod, view(&running))
			if pod.ResourceVersion != running.ResourceVersion {
				team.t.Errorf("the running pod has changed: %v", pod)
			}
		}
	})
}
