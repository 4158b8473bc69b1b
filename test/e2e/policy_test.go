package e2e

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// TestPolicyWithoutDefinition takes the ServiceConnection kind away from the
// policy, which must never keep a pod from being created, and gives it back. It
// has a cluster of its own.
func TestPolicyWithoutDefinition(t *testing.T) {
	t.Parallel()
	long(t)
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Root: root, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cp.Stop)
	c := &cluster{ControlPlane: cp, mode: controlplane.Namespaced, cloud: cloud.New()}
	c.cloud.AddRole("/", "my-app-s3-access")
	team := &team{cluster: c, t: t, namespace: newNamespace(t, c, ""), deadline: disturbedDeadline}

	// The policy comes first, as the order of a folder's files may be.
	if err := cp.ApplyFiles(t.Context(), "package/cluster/rbac.yaml", "package/cluster/mutatingadmissionpolicy.yaml", requireInjection); err != nil {
		t.Fatal(err)
	}
	team.keepsCreating("plain", "policy before the definition", nil, 20)
	me := team.terminal(cp.Config)
	for _, args := range [][]string{{"status"}, {"status", "shop"}, {"graph", "shop"}} {
		me.want(me.run(args...), 2, "the cluster has no such kind; install package/configuration")
	}

	// Then the rest, and pods are injected without anybody's help.
	if err := cp.InstallProviders(t.Context(), controlplane.ProviderAWS); err != nil {
		t.Fatal(err)
	}
	if err := c.runProviders(controlplane.ProviderAWS); err != nil {
		t.Fatal(err)
	}
	if err := cp.ApplyYAML(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	if err := cp.Install(t.Context(), controlplane.Namespaced); err != nil {
		t.Fatal(err)
	}
	const services = "- {name: api, requireInjection: true, connections: [{type: awsRole, role: my-app-s3-access}]}"
	team.connect(services)
	team.awaitReady()
	team.awaitInjecting("shop", "api")

	// The XRD is removed, and with it every claim. Crossplane 2.4 itself doesn't
	// delete the CustomResourceDefinition of a namespaced kind: it would have the
	// API server delete the objects of all namespaces at once, which that refuses.
	const xrd = "serviceconnections.serviceconnections.io"
	for _, of := range [][2]string{
		{"apiextensions.crossplane.io/v2", "CompositeResourceDefinition"},
		{"apiextensions.k8s.io/v1", "CustomResourceDefinition"},
	} {
		u, err := cp.Get(t.Context(), of[0], of[1], "", xrd)
		if err != nil {
			t.Fatal(err)
		}
		if err := cp.Client.Delete(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	team.keepsCreating("removed", "the definition is removed", func(ctx context.Context) error {
		for apiVersion, kind := range map[string]string{
			"apiextensions.k8s.io/v1": "CustomResourceDefinition", "apiextensions.crossplane.io/v2": "CompositeResourceDefinition",
		} {
			if u, err := cp.Get(ctx, apiVersion, kind, "", xrd); err != nil || u != nil {
				return fmt.Errorf("%s %s is there: %v", kind, xrd, u)
			}
		}
		return nil
	}, 0)
	team.keepsCreating("without", "the definition is gone", nil, 20)

	// It returns, and so does the injection. What the removed claim has left goes by
	// the garbage collector at a time of its own, and isn't the new one's.
	for apiVersion, kind := range map[string]string{
		"v1": "ServiceAccount", "iam.aws.m.upbound.io/v1beta1": "Role", "eks.aws.m.upbound.io/v1beta1": "PodIdentityAssociation",
	} {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		if err := cp.Client.DeleteAllOf(t.Context(), u, client.InNamespace(team.namespace), client.MatchingLabels{"crossplane.io/composite": "shop"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cp.InstallConfiguration(t.Context(), controlplane.Namespaced); err != nil {
		t.Fatal(err)
	}
	team.connect(services)
	team.awaitReady()
	team.awaitInjecting("shop", "api")
}

// keepsCreating pods until something has happened, or for a number of pods. Each
// must be let in.
func (t *team) keepsCreating(name, what string, until func(context.Context) error, pods int) {
	t.t.Helper()
	n := 0
	t.eventually(what, func(ctx context.Context) error {
		n++
		pod := t.barePod(fmt.Sprintf("%s-%d", name, n))
		// As pods that the policy looks at.
		pod.Labels = map[string]string{labelClaim: "shop", labelService: "api"}
		if err := t.Client.Create(context.WithoutCancel(ctx), pod); err != nil {
			t.t.Fatalf("%s: a pod is refused: %v", what, err)
		}
		switch {
		case pods > 0 && n < pods:
			return fmt.Errorf("%d pods of %d", n, pods)
		case pods > 0:
			return nil
		default:
			return until(ctx)
		}
	})
}

// published is a status as the function writes it for Deployment api.
const published = `
services:
- name: api
  delivery: Admission
  serviceAccountName: shop-api
  workload: {apiVersion: apps/v1, kind: Deployment, name: api}
  connections: []
  injection:
    hash: "0123456789abcdef"
    complete: true
    serviceAccountName: shop-api
    env: [{name: DB_HOST, value: 127.0.0.1}]
    volumes:
    - {name: sc-disk, persistentVolumeClaim: {claimName: uploads}}
    - name: eks-pod-identity-token
      projected: {sources: [{serviceAccountToken: {audience: pods.eks.amazonaws.com, expirationSeconds: 86400, path: eks-pod-identity-token}}]}
    volumeMounts:
    - {name: sc-disk, mountPath: /data/uploads}
    - {name: eks-pod-identity-token, mountPath: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount, readOnly: true}
    initContainers:
    - name: sc-cloud-sql-proxy
      image: ` + proxyImage + `
      args: ["my-project-123456:europe-west1:orders?port=5432", "--structured-logs"]
      restartPolicy: Always
      ports: [{name: sc-proxy, containerPort: 9801, protocol: TCP}]
      startupProbe: {httpGet: {path: /startup, port: 9801}}
      livenessProbe: {httpGet: {path: /liveness, port: 9801}}
      resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
      securityContext: {runAsNonRoot: true, runAsUser: 65532, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
`

// publishedPod is what a pod has of it.
const publishedPod = `
serviceAccount shop-api
volume sc-disk claim uploads readOnly=false
volume eks-pod-identity-token token pods.eks.amazonaws.com 86400s eks-pod-identity-token
sidecar sc-cloud-sql-proxy ` + proxyImage + `
  args my-project-123456:europe-west1:orders?port=5432 --structured-logs
container main registry.example.org/main:1
  env DB_HOST=127.0.0.1
  mount sc-disk /data/uploads rw
  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro
`

// TestStatusByHand writes what the function never would into a claim's status, as
// an attacker who has become Crossplane, or a mistake. The pod is created all the same, and has nothing of
// it. Crossplane leaves the claim alone, so that the status stays.
func TestStatusByHand(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string

		// change of the published service.
		change func(service, injection map[string]any)

		// harmless says that the pod has the injection without the change.
		harmless bool
	}{
		"Unchanged": {
			reason:   "What the rest is compared with.",
			change:   func(_, _ map[string]any) {},
			harmless: true,
		},
		"ForeignContainer": {
			reason: "No container but the proxy.",
			change: func(_, in map[string]any) { first(in, "initContainers")["name"] = "miner" },
		},
		"SecondContainer": {
			reason: "One container.",
			change: func(_, in map[string]any) {
				more(in, "initContainers", with(first(in, "initContainers"), "name", "miner"))
			},
		},
		"OtherArguments": {
			reason: "The proxy takes no other argument.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["args"] = []any{"my-project-123456:europe-west1:orders?port=5432", "--credentials-file=/tmp/key"}
			},
		},
		"Command": {
			reason:   "The proxy's image says what runs.",
			change:   func(_, in map[string]any) { first(in, "initContainers")["command"] = []any{"sh", "-c", "evil"} },
			harmless: true,
		},
		"Privileged": {
			reason: "The proxy's rights are the policy's own.",
			change: func(_, in map[string]any) {
				c, _ := first(in, "initContainers")["securityContext"].(map[string]any)
				c["runAsNonRoot"], c["runAsUser"], c["allowPrivilegeEscalation"], c["privileged"] = false, 0, true, true
			},
			harmless: true,
		},
		"HostPath": {
			reason: "No directory of a node.",
			change: func(_, in map[string]any) {
				more(in, "volumes", map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}})
				more(in, "volumeMounts", map[string]any{"name": "host", "mountPath": "/host"})
			},
		},
		"HostPathOfOurName": {
			reason: "Our name doesn't make it our volume.",
			change: func(_, in map[string]any) {
				v := first(in, "volumes")
				delete(v, "persistentVolumeClaim")
				v["hostPath"] = map[string]any{"path": "/"}
			},
		},
		"HostPathBesideClaim": {
			reason:   "A volume is built from its claim's name alone.",
			change:   func(_, in map[string]any) { first(in, "volumes")["hostPath"] = map[string]any{"path": "/"} },
			harmless: true,
		},
		"Secret": {
			reason: "No Secret of the namespace.",
			change: func(_, in map[string]any) {
				more(in, "volumes", map[string]any{"name": "sc-secret", "secret": map[string]any{"secretName": "other"}})
			},
		},
		"OtherAudience": {
			reason: "A token for the API server is what an attacker wants.",
			change: func(_, in map[string]any) {
				more(in, "volumes", map[string]any{"name": "aws-iam-token", "projected": map[string]any{"sources": []any{map[string]any{
					"serviceAccountToken": map[string]any{"audience": "https://kubernetes.default.svc", "expirationSeconds": 86400, "path": "token"},
				}}}})
			},
		},
		"MountOverTheSystem": {
			reason: "A disk over /etc is somebody else's /etc.",
			change: func(_, in map[string]any) { first(in, "volumeMounts")["mountPath"] = "/etc" },
		},
		"MountOfAnotherVolume": {
			reason: "A volume of the pod's own isn't ours to mount.",
			change: func(_, in map[string]any) {
				more(in, "volumeMounts", map[string]any{"name": "kube-api-access", "mountPath": "/x"})
			},
		},
		"ForeignVariable": {
			reason: "LD_PRELOAD runs code.",
			change: func(_, in map[string]any) {
				more(in, "env", map[string]any{"name": "LD_PRELOAD", "value": "/data/uploads/evil.so"})
			},
		},
		"CredentialsElsewhere": {
			reason: "Credentials come from the agent alone.",
			change: func(_, in map[string]any) {
				more(in, "env", map[string]any{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://evil.example.org/"})
			},
		},
		"ForeignLabel": {
			reason: "A label may open a network policy.",
			change: func(_, in map[string]any) { in["labels"] = map[string]any{"role": "database"} },
		},
		"LabelOfOurs": {
			reason: "Nor another value of a label that is ours.",
			change: func(_, in map[string]any) {
				in["labels"] = map[string]any{"azure.workload.identity/use": "true", "example.org/x": "y"}
			},
		},
		"Annotation": {
			reason: "An annotation may turn a security profile off.",
			change: func(_, in map[string]any) {
				in["annotations"] = map[string]any{"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}
			},
		},
		"Group": {
			reason: "No group of that number.",
			change: func(_, in map[string]any) { in["fsGroup"] = -1 },
		},
		"HashIsAPath": {
			reason: "The hash becomes an annotation.",
			change: func(_, in map[string]any) { in["hash"] = "../../x" },
		},

		"EmptyInjection": {
			reason: "Malformed: fields that are there but empty.",
			change: func(_, in map[string]any) {
				clear(in)
				in["hash"], in["serviceAccountName"] = "", ""
			},
		},
		"VolumeOfNothing": {
			reason: "Malformed: a volume without a source.",
			change: func(_, in map[string]any) { in["volumes"] = []any{map[string]any{"name": "sc-disk"}} },
		},
		"TokenOfNothing": {
			reason: "Malformed: a projected volume without a source.",
			change: func(_, in map[string]any) {
				in["volumes"] = []any{map[string]any{"name": "eks-pod-identity-token", "projected": map[string]any{"sources": []any{}}}}
			},
		},
		"ArgumentsOfNothing": {
			reason: "Malformed: a proxy for no instance.",
			change: func(_, in map[string]any) { first(in, "initContainers")["args"] = []any{} },
		},
		"PortIsNoPort": {
			reason: "Malformed: a number that int() refuses.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["args"] = []any{"my-project-123456:europe-west1:orders?port=99999"}
			},
		},
		"QuantityIsNoQuantity": {
			reason: "Malformed: resources that the API server would refuse the pod for.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["resources"] = map[string]any{"requests": map[string]any{"cpu": "much"}}
			},
		},
		"RequestsAboveLimits": {
			reason: "Malformed: resources that the API server would refuse the pod for.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["resources"] = map[string]any{"requests": map[string]any{"cpu": "2"}, "limits": map[string]any{"cpu": "1"}}
			},
		},
		"DuplicateMount": {
			reason: "Malformed: a pod with two mounts at one path is refused.",
			change: func(_, in map[string]any) {
				more(in, "volumeMounts", with(first(in, "volumeMounts"), "name", "sc-disk"))
			},
		},
		"DuplicateVolume": {
			reason: "Malformed: a pod with two volumes of one name is refused.",
			change: func(_, in map[string]any) { more(in, "volumes", with(first(in, "volumes"), "name", "sc-disk")) },
		},
		"PortNameTooLong": {
			reason: "Malformed: a port's name that the API server would refuse the pod for.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["ports"] = []any{map[string]any{"name": "a-name-of-more-than-15-characters", "containerPort": 9801, "protocol": "TCP"}}
			},
		},
		"PortOutOfRange": {
			reason: "Malformed: a port that the API server would refuse the pod for.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["ports"] = []any{map[string]any{"name": "sc-proxy", "containerPort": 99999, "protocol": "TCP"}}
			},
		},
		"ProbeOutOfRange": {
			reason: "Malformed: a probe that the API server would refuse the pod for.",
			change: func(_, in map[string]any) {
				first(in, "initContainers")["startupProbe"] = map[string]any{"httpGet": map[string]any{"path": "/startup", "port": 0}, "periodSeconds": -1}
			},
		},
		"ServiceAccountMissing": {
			reason: "Malformed: pods of a ServiceAccount that doesn't exist are refused by another plugin.",
			change: func(_, in map[string]any) { in["serviceAccountName"] = "" },
		},
		"NoWorkload": {
			reason: "Malformed: of no workload.",
			change: func(s, _ map[string]any) { delete(s, "workload") },
		},
		"NoInjection": {
			reason: "Nothing is published yet.",
			change: func(s, _ map[string]any) { delete(s, "injection") },
		},
	}
	eachMode(t, func(team *team) {
		team.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api}}")
		for name, tc := range cases {
			claimed := strings.ToLower(name)
			status := map[string]any{}
			if err := yaml.Unmarshal([]byte(published), &status); err != nil {
				team.t.Fatal(err)
			}
			service := first(status, "services")
			service["workload"] = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": claimed}
			injection, _ := service["injection"].(map[string]any)
			tc.change(service, injection)
			team.applyf("{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: %s, annotations: {crossplane.io/paused: 'true'}}, spec: {services: [{name: api, connections: [{type: awsRole, role: my-app}]}]}}", claimed)
			team.t.Run(name, func(t *testing.T) {
				team := as(t, team)
				team.writeStatus(claimed, status)
				pod := team.podOf(claimed)
				team.eventually("the API server has seen the status", func(ctx context.Context) error {
					return team.sees(ctx, claimed)
				})
				if err := team.Client.Create(t.Context(), pod); err != nil {
					t.Fatalf("%s\nthe pod is refused: %v", tc.reason, err)
				}
				if tc.harmless {
					team.wantPod(pod, publishedPod)
					return
				}
				team.wantPlain(pod)
				team.wantPod(pod, "serviceAccount default\ncontainer main registry.example.org/main:1")
			})
		}
	})
}

// podOf a Deployment, as its ReplicaSet would create it.
func (t *team) podOf(deployment string) *corev1.Pod {
	pod := t.barePod("")
	pod.GenerateName = deployment + "-5f7d-"
	pod.Labels = map[string]string{"pod-template-hash": "5f7d"}
	controller := true
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-5f7d", UID: "00000000-0000-4000-8000-000000000000", Controller: &controller}}
	return pod
}

// sees says whether the API server's policy has the status that was written last:
// beside the service in question there is one whose pods are always injected.
func (t *team) sees(ctx context.Context, name string) error {
	pod := t.barePod("try")
	pod.Labels = map[string]string{labelClaim: name, labelService: "witness"}
	if err := t.Client.Create(ctx, pod, client.DryRunAll); err != nil {
		return err
	}
	if pod.Annotations[annotationClaim] != name {
		return fmt.Errorf("annotations %v", pod.Annotations)
	}
	return nil
}

// writeStatus of a claim as Crossplane, whom alone the API server lets write it,
// but with what the function never would. With a witness.
func (t *team) writeStatus(name string, status map[string]any) {
	t.t.Helper()
	more(status, "services", map[string]any{
		"name": "witness", "workload": map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "witness"},
		"injection": map[string]any{"hash": "0123456789abcdef", "serviceAccountName": "shop-api"},
	})
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
		"metadata": map[string]any{"name": name, "namespace": t.namespace}, "status": status,
	}}
	y, err := yaml.Marshal(u.Object)
	if err != nil {
		t.t.Fatal(err)
	}
	if err := controlplane.ApplyStatus(t.t.Context(), t.Crossplane, string(y)); err != nil {
		t.t.Fatal(err)
	}
}

// first element of a list of objects.
func first(o map[string]any, list string) map[string]any {
	l, _ := o[list].([]any)
	m, _ := l[0].(map[string]any)
	return m
}

// more elements of a list.
func more(o map[string]any, list string, elements ...any) {
	l, _ := o[list].([]any)
	o[list] = append(l, elements...)
}

// with a field, a copy.
func with(o map[string]any, key string, value any) map[string]any {
	c := maps.Clone(o)
	c[key] = value
	return c
}
