package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// read decoded JSON from YAML.
func read(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInject(t *testing.T) {
	t.Parallel()
	all, err := Merge(tokenInjection("aws-iam-token", "sts.amazonaws.com"), injections()[2], proxyInjection(5432), injections()[5])
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason    string
		template  string
		injection claim.Injection
		want      string
	}{
		"PlainPod": {
			reason:    "A pod that sets nothing gets everything, the proxy first.",
			template:  `spec: {initContainers: [{name: migrate}], containers: [{name: api}]}`,
			injection: all,
			want: `
metadata:
  labels: {azure.workload.identity/use: "true"}
  annotations:
    azure.workload.identity/skip-containers: sc-cloud-sql-proxy
    eks.amazonaws.com/skip-containers: sc-cloud-sql-proxy
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","labels":["azure.workload.identity/use"],"annotations":["azure.workload.identity/skip-containers","eks.amazonaws.com/skip-containers","serviceconnections.io/injection"],"volumes":["aws-iam-token","sc-disk"],"initContainers":["sc-cloud-sql-proxy"],"env":{"api":["AWS_REGION","AWS_ROLE_ARN","DB_HOST","DB_PORT"],"migrate":["AWS_REGION","AWS_ROLE_ARN","DB_HOST","DB_PORT"]},"volumeMounts":{"api":["/srv/cache","/var/run/secrets/sts.amazonaws.com"],"migrate":["/srv/cache","/var/run/secrets/sts.amazonaws.com"]},"fsGroup":true}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  securityContext: {fsGroup: 2000}
  volumes:
  - {name: aws-iam-token, projected: {sources: [{serviceAccountToken: {audience: sts.amazonaws.com, expirationSeconds: 86400, path: token}}]}}
  - {name: sc-disk, persistentVolumeClaim: {claimName: cache}}
  initContainers:
  - name: sc-cloud-sql-proxy
    image: "proxy:1"
    args: ["project:region:instance?port=5432", --http-port=9801]
    restartPolicy: Always
    ports: [{name: sc-proxy, containerPort: 9801, protocol: TCP}]
    startupProbe: {httpGet: {path: "", port: 0}}
    livenessProbe: {httpGet: {path: "", port: 0}}
    resources: {}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: null}, readOnlyRootFilesystem: false, runAsNonRoot: false, runAsUser: 0, seccompProfile: {type: ""}}
  - &target
    name: migrate
    env: [{name: AWS_REGION, value: eu-west-1}, {name: AWS_ROLE_ARN, value: "arn:aws:iam::123456789012:role/api"}, {name: DB_HOST, value: 127.0.0.1}, {name: DB_PORT, value: "5432"}]
    volumeMounts: [{name: sc-disk, mountPath: /srv/cache}, {name: aws-iam-token, mountPath: /var/run/secrets/sts.amazonaws.com, readOnly: true}]
  containers:
  - {<<: *target, name: api}`,
		},
		"OwnValuesStay": {
			reason: "What a container sets stays, and one with envFrom gets only what credentials need.",
			template: `
spec:
  serviceAccountName: default
  securityContext: {fsGroup: 0}
  containers:
  - {name: api, env: [{name: AWS_REGION, value: own}, {name: DB_PORT, valueFrom: {fieldRef: {fieldPath: x}}}]}
  - {name: worker, envFrom: [{configMapRef: {name: api}}]}
  - {name: empty, envFrom: []}
  - {name: other}`,
			injection: claim.Injection{
				Containers: []string{"api", "worker", "empty"},
				Env:        append(proxyInjection(5432).Env, tokenInjection("", "").Env...),
				FSGroup:    injections()[5].FSGroup,
			},
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"default","serviceAccount":"","annotations":["serviceconnections.io/injection"],"env":{"api":["DB_HOST","AWS_ROLE_ARN"],"empty":["DB_HOST","DB_PORT","AWS_REGION","AWS_ROLE_ARN"],"worker":["AWS_ROLE_ARN"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  securityContext: {fsGroup: 0}
  containers:
  - name: api
    env: [{name: AWS_REGION, value: own}, {name: DB_PORT, valueFrom: {fieldRef: {fieldPath: x}}}, {name: DB_HOST, value: 127.0.0.1}, {name: AWS_ROLE_ARN, value: "arn:aws:iam::123456789012:role/api"}]
  - name: worker
    envFrom: [{configMapRef: {name: api}}]
    env: [{name: AWS_ROLE_ARN, value: "arn:aws:iam::123456789012:role/api"}]
  - name: empty
    envFrom: []
    env: [{name: DB_HOST, value: 127.0.0.1}, {name: DB_PORT, value: "5432"}, {name: AWS_REGION, value: eu-west-1}, {name: AWS_ROLE_ARN, value: "arn:aws:iam::123456789012:role/api"}]
  - {name: other}`,
		},
		"OlderInjection": {
			reason: "What a connection brought that has left the claim goes; the same by the team's own hand stays.",
			template: `
metadata:
  labels: {app: api}
  annotations:
    serviceconnections.io/injection: older
    serviceconnections.io/injected: '{"serviceAccountName":"default","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk"],"env":{"api":["AWS_REGION"]},"volumeMounts":{"api":["/data/cache"]}}'
spec:
  serviceAccountName: older
  serviceAccount: older
  volumes: [{name: sc-disk}, {name: tmp}]
  containers:
  - {name: api, env: [{name: AWS_REGION, value: older}], volumeMounts: [{name: sc-disk, mountPath: /data/cache}, {name: tmp, mountPath: /tmp}]}
  - {name: worker, env: [{name: AWS_REGION, value: own}]}`,
			want: `
metadata:
  labels: {app: api}
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"default","serviceAccount":"older","annotations":["serviceconnections.io/injection"]}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: tmp}]
  containers:
  - {name: api, volumeMounts: [{name: tmp, mountPath: /tmp}]}
  - {name: worker, env: [{name: AWS_REGION, value: own}]}`,
		},
		"DisksOfOneClaim": {
			reason:    "A kubelet before Kubernetes 1.35 never starts a pod with two volumes of one claim, so it has one, which one of the disks writes.",
			template:  `spec: {volumes: [{name: tmp}], containers: [{name: api}]}`,
			injection: disksOf(claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a", SubPath: "a", ReadOnly: true}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-a","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: tmp}, {name: sc-disk-a, persistentVolumeClaim: {claimName: cache}}]
  containers:
  - {name: api, volumeMounts: [{name: sc-disk-a, mountPath: /a, subPath: a, readOnly: true}, {name: sc-disk-a, mountPath: /b}]}`,
		},
		"DisksOfOneClaimThatNobodyWrites": {
			reason:    "A volume that may be read only stays so.",
			template:  `spec: {containers: [{name: api}]}`,
			injection: disksOf(claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a", ReadOnly: true}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b", ReadOnly: true}),
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-a","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: sc-disk-a, persistentVolumeClaim: {claimName: cache, readOnly: true}}]
  containers:
  - {name: api, volumeMounts: [{name: sc-disk-a, mountPath: /a, readOnly: true}, {name: sc-disk-a, mountPath: /b, readOnly: true}]}`,
		},
		"OwnVolumeOfTheClaim": {
			reason: "The pod's own volume of a disk's claim is the one, by which the disk is mounted too.",
			template: `
spec:
  volumes: [{name: tmp}, {name: data, persistentVolumeClaim: {claimName: cache}}]
  containers: [{name: api, volumeMounts: [{name: data, mountPath: /own}]}]`,
			injection: disksOf(claim.VolumeMount{Name: "sc-disk", MountPath: "/a", ReadOnly: true}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: tmp}, {name: data, persistentVolumeClaim: {claimName: cache}}]
  containers:
  - {name: api, volumeMounts: [{name: data, mountPath: /own}, {name: data, mountPath: /a, readOnly: true}, {name: data, mountPath: /b}]}`,
		},
		"TwoVolumesOfAnOlderInjection": {
			reason: "A template that an earlier version gave two volumes of one claim gets one.",
			template: `
metadata:
  annotations:
    serviceconnections.io/injection: older
    serviceconnections.io/injected: '{"annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-a","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  volumes: [{name: sc-disk-a, persistentVolumeClaim: {claimName: cache}}, {name: sc-disk-b, persistentVolumeClaim: {claimName: cache}}]
  containers: [{name: api, volumeMounts: [{name: sc-disk-a, mountPath: /a}, {name: sc-disk-b, mountPath: /b}]}]`,
			injection: disksOf(claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a"}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-a","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: sc-disk-a, persistentVolumeClaim: {claimName: cache}}]
  containers: [{name: api, volumeMounts: [{name: sc-disk-a, mountPath: /a}, {name: sc-disk-a, mountPath: /b}]}]`,
		},
		"OneOfTwoDisksHasLeft": {
			reason: "The disk that stays has a volume, also where it was the other one's.",
			template: `
metadata:
  annotations:
    serviceconnections.io/injection: older
    serviceconnections.io/injected: '{"annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-a","sc-disk-b"],"volumeMounts":{"api":["/a","/b"]}}'
spec:
  volumes: [{name: sc-disk-a, persistentVolumeClaim: {claimName: cache}}]
  containers: [{name: api, volumeMounts: [{name: sc-disk-a, mountPath: /a}, {name: sc-disk-a, mountPath: /b}]}]`,
			injection: disksOf(claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"serviceAccountName":"","serviceAccount":"","annotations":["serviceconnections.io/injection"],"volumes":["sc-disk-b"],"volumeMounts":{"api":["/b"]}}'
spec:
  serviceAccountName: shop-api
  serviceAccount: shop-api
  volumes: [{name: sc-disk-b, persistentVolumeClaim: {claimName: cache}}]
  containers: [{name: api, volumeMounts: [{name: sc-disk-b, mountPath: /b}]}]`,
		},
		"BrokenRecord": {
			reason: "Without a record nobody knows whose is what.",
			template: `
metadata: {annotations: {serviceconnections.io/injected: "{"}}
spec: {serviceAccountName: shop-api, serviceAccount: shop-api, containers: [{name: api, env: [{name: AWS_REGION, value: own}]}]}`,
			want: `
metadata:
  annotations:
    serviceconnections.io/injection: 0123456789abcdef
    serviceconnections.io/injected: '{"annotations":["serviceconnections.io/injection"]}'
spec: {serviceAccountName: shop-api, serviceAccount: shop-api, containers: [{name: api, env: [{name: AWS_REGION, value: own}]}]}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := read(t, tc.template)
			Inject(template, withServiceAccount(tc.injection))
			if diff := cmp.Diff(read(t, tc.want), floats(template)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestInjectWithoutServiceAccount(t *testing.T) {
	t.Parallel()
	template := read(t, `spec: {serviceAccountName: own, containers: [{name: api}]}`)
	Inject(template, claim.Injection{Hash: "0123"})
	if got := decoded.Object(template, "spec")["serviceAccountName"]; got != "own" {
		t.Errorf("an injection that names no service account changes it to %v", got)
	}
}

func TestInjectSharesNothing(t *testing.T) {
	t.Parallel()
	env := make([]any, 1, 8)
	env[0] = map[string]any{"name": "LOG_LEVEL"}
	template := templateWith(func(_, spec, api map[string]any) {
		api["env"] = env
		spec["containers"] = append(spec["containers"].([]any), map[string]any{"name": "worker", "env": env})
	})
	Inject(template, claim.Injection{Hash: "0123", Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Annotations: map[string]string{"a": "b"}})
	if got := env[:2][1]; got != nil {
		t.Errorf("a list that two containers shared has got %v", got)
	}
	if got := decoded.Object(decoded.Object(template, "metadata"), "annotations")["a"]; got != "b" {
		t.Errorf("the injection's annotation is %v, want b", got)
	}
}

// TestLosesADisk holds that a template which has a disk by another volume's name is known
// to have it.
func TestLosesADisk(t *testing.T) {
	t.Parallel()
	a, b := claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a"}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}
	for name, tc := range map[string]struct {
		reason, spec string
		next         claim.Injection
		want         bool
	}{
		"Same":         {"It has all that it had.", `spec: {containers: [{name: api}]}`, disksOf(a, b), false},
		"OfTwo":        {"The second disk is mounted by the first one's volume.", `spec: {containers: [{name: api}]}`, disksOf(a), true},
		"ByAnOwn":      {"The disk is mounted by the template's own volume.", `spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: cache}}], containers: [{name: api}]}`, disksOf(a), true},
		"NotByAnOther": {"Of a volume of its own by the disk's name it loses nothing.", `spec: {volumes: [{name: sc-disk-b, persistentVolumeClaim: {claimName: cache}}], containers: [{name: api}]}`, disksOf(a), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := read(t, tc.spec)
			Inject(template, withServiceAccount(disksOf(a, b)))
			if got := Loses(template, tc.next); got != tc.want {
				t.Errorf("%s\nloses %t, want %t: %v", tc.reason, got, tc.want, template)
			}
		})
	}
}

// floats in place of integers, as YAML is decoded.
func floats(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = floats(e)
		}
	case []any:
		for i, e := range v {
			v[i] = floats(e)
		}
	case int64:
		return float64(v)
	}
	return v
}
