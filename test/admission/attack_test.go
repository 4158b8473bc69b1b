package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestStatusIsNotTrusted edits the published injection by hand. The pod then gets
// nothing from it, or only what the function could have emitted.
func TestStatusIsNotTrusted(t *testing.T) {
	t.Parallel()
	p := compile(t)
	forms := readForms(t)
	connections := []string{"podIdentity", "azure", "cloudSql", "disk"}
	cases := map[string]struct {
		reason string
		tamper func(in map[string]any)

		// harmless says that the pod gets the injection without the addition.
		harmless bool
	}{
		"ForeignSidecar": {
			reason: "No container but the proxy.",
			tamper: func(in map[string]any) { sidecar(in)["name"] = "miner" },
		},
		"SecondSidecar": {
			reason: "No second container.",
			tamper: func(in map[string]any) {
				c := runtimeCopy(sidecar(in))
				in["initContainers"] = append(in["initContainers"].([]any), c)
			},
		},
		"SidecarWithoutName": {
			reason: "What lacks a field isn't what the function emits.",
			tamper: func(in map[string]any) { delete(sidecar(in), "name") },
		},
		"InitContainerThatEnds": {
			reason: "The proxy is a sidecar, nothing that runs before the pod.",
			tamper: func(in map[string]any) { sidecar(in)["restartPolicy"] = "Never" },
		},
		"Command": {
			reason:   "A command isn't a field of the proxy.",
			tamper:   func(in map[string]any) { sidecar(in)["command"] = []any{"sh", "-c", "evil"} },
			harmless: true,
		},
		"Argument": {
			reason: "The proxy takes no other argument.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "--credentials-file=/x")
			},
		},
		"ArgumentWithSecondOption": {
			reason: "A connection name carries no option but its port.",
			tamper: func(in map[string]any) {
				sidecar(in)["args"].([]any)[0] = "my-project-123456:us-east1:my-instance?port=5432&address=0.0.0.0"
			},
		},
		"TwoInstancesOnOnePort": {
			reason: "The proxy wouldn't start, and the pod with it.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "my-project-123456:us-east1:other?port="+strings.Split(c["args"].([]any)[0].(string), "?port=")[1])
			},
		},
		"VariableAfterAName": {
			reason: "A connection's name stands before variables of databases only.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "X_AWS_REGION", "value": "eu-west-1"})
			},
		},
		"VariableThatEndsLikeAHost": {
			reason: "The pod would take what listens there for the API server.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"})
			},
		},
		"VariableOfAnEmulator": {
			reason: "A client would send what it has to what listens there, with no login.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "FIREBASE_DATABASE_EMULATOR_HOST", "value": "127.0.0.1"})
			},
		},
		"VariableOfADatabaseElsewhere": {
			reason: "A name that a claim may give has the values of a database here.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "PGHOST", "value": "db.example.com"})
			},
		},
		"PortInAHost": {
			reason: "Each variable has its own values.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "PGHOST", "value": "5432"})
			},
		},
		"VariableWithAnEnd": {
			reason: "Shells and other readers would take the next line for another variable.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "PGHOST\nLD_PRELOAD", "value": "127.0.0.1"})
			},
		},
		"LongVariable": {
			reason: "What pods get is bounded.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": strings.Repeat("X", 60) + "_DB_HOST", "value": "127.0.0.1"})
			},
		},
		"NameThatIsNone": {
			reason: "A variable begins with a letter.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "9_DB_HOST", "value": "127.0.0.1"})
			},
		},
		"VolumeNameThatIsNone": {
			reason: "The API server takes no such name.",
			tamper: func(in map[string]any) {
				in["volumes"] = append(in["volumes"].([]any), map[string]any{"name": "sc-disk-A", "persistentVolumeClaim": map[string]any{"claimName": "x"}})
			},
		},
		"InstanceAsFlag": {
			reason: "A connection name that starts with a dash is a flag of the proxy.",
			tamper: func(in map[string]any) {
				sidecar(in)["args"].([]any)[0] = "-t:my-project:europe-west1:db?port=5432"
			},
		},
		"FlagAsInstance": {
			reason: "An option with a port in it is no connection name.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "--credentials-file=/x?port=1")
			},
		},
		"NameOfInstanceAsFlag": {
			reason: "A pod may pass the variable on as an argument.",
			tamper: func(in map[string]any) {
				variable(in, "DB_INSTANCE_CONNECTION_NAME")["value"] = "-t:my-project:europe-west1:db"
			},
		},
		"OptionOfAnInstance": {
			reason: "An instance carries no option but those of the connection's own: a third party's file would be the proxy's credentials.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "my-project-123456:us-east1:other?port=5433&credentials-file=/x")
			},
		},
		"AddressOfSecondInstance": {
			reason: "The proxy listens to its own pod alone, for each instance.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "my-project-123456:us-east1:other?port=5433&address=0.0.0.0")
			},
		},
		"UnlistedFormOfSecondInstance": {
			reason: "An instance has a port, also beside one that has.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "my-project-123456:us-east1:other?unix-socket=/x")
			},
		},
		"FlagAfterSecondInstance": {
			reason: "A second instance brings no flag with it.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["args"] = append(c["args"].([]any), "my-project-123456:us-east1:other?port=5433", "--impersonate-service-account=other@my-project-123456.iam.gserviceaccount.com")
			},
		},
		"Image": {
			reason: "An image reference is one word.",
			tamper: func(in map[string]any) { sidecar(in)["image"] = "proxy evil" },
		},
		"Privileged": {
			reason: "The security context is the policy's own.",
			tamper: func(in map[string]any) {
				c := sidecar(in)["securityContext"].(map[string]any)
				c["privileged"], c["runAsUser"], c["runAsNonRoot"] = true, int64(0), false
				c["capabilities"] = map[string]any{"add": []any{"SYS_ADMIN"}}
			},
			harmless: true,
		},
		"SidecarVariables": {
			reason: "Variables, mounts and hooks aren't fields of the proxy.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["env"] = []any{map[string]any{"name": "LD_PRELOAD", "value": "/x.so"}}
				c["volumeMounts"] = []any{map[string]any{"name": "sc-disk", "mountPath": "/data"}}
				c["lifecycle"] = map[string]any{"postStart": map[string]any{"exec": map[string]any{"command": []any{"sh"}}}}
			},
			harmless: true,
		},
		"ProbeRunsACommand": {
			reason: "A probe asks over HTTP.",
			tamper: func(in map[string]any) {
				sidecar(in)["startupProbe"].(map[string]any)["exec"] = map[string]any{"command": []any{"sh"}}
			},
			harmless: true,
		},
		"ProbeOfAnotherPath": {
			reason: "A probe asks the proxy for its health.",
			tamper: func(in map[string]any) {
				sidecar(in)["livenessProbe"].(map[string]any)["httpGet"].(map[string]any)["path"] = "/quitquitquit"
			},
		},
		"HostPort": {
			reason: "A host's port isn't a field of the proxy.",
			tamper: func(in map[string]any) {
				sidecar(in)["ports"].([]any)[0].(map[string]any)["hostPort"] = int64(80)
			},
			harmless: true,
		},
		"ForeignResource": {
			reason: "The proxy takes no devices.",
			tamper: func(in map[string]any) {
				sidecar(in)["resources"].(map[string]any)["limits"].(map[string]any)["nvidia.com/gpu"] = "1"
			},
		},
		"HostPath": {
			reason: "No host's directory.",
			tamper: func(in map[string]any) {
				in["volumes"] = append(in["volumes"].([]any), map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}})
			},
		},
		"HostPathOfOurName": {
			reason: "Our name doesn't make it our volume.",
			tamper: func(in map[string]any) {
				for i, v := range in["volumes"].([]any) {
					if v.(map[string]any)["name"] == "sc-disk" {
						in["volumes"].([]any)[i] = map[string]any{"name": "sc-disk", "hostPath": map[string]any{"path": "/"}}
					}
				}
			},
		},
		"HostPathBesideClaim": {
			reason: "A volume is built from its claim's name alone.",
			tamper: func(in map[string]any) {
				volume(in, "sc-disk")["hostPath"] = map[string]any{"path": "/"}
			},
			harmless: true,
		},
		"OtherAudience": {
			reason: "A token for the API server would be the pod's own rights in somebody else's file.",
			tamper: func(in map[string]any) {
				token(in)["audience"] = "https://kubernetes.default.svc"
			},
		},
		"AudienceOfAnotherCloud": {
			reason: "Each volume has its own audience.",
			tamper: func(in map[string]any) { token(in)["audience"] = "sts.amazonaws.com" },
		},
		"TokenPath": {
			reason: "The token is where the SDK looks for it.",
			tamper: func(in map[string]any) { token(in)["path"] = "other" },
		},
		"TokenForYears": {
			reason: "A token lives a day at most.",
			tamper: func(in map[string]any) { token(in)["expirationSeconds"] = int64(1 << 31) },
		},
		"SecretInProjection": {
			reason: "Tokens only, no Secret.",
			tamper: func(in map[string]any) {
				p := volume(in, "eks-pod-identity-token")["projected"].(map[string]any)
				p["sources"] = append(p["sources"].([]any), map[string]any{"secret": map[string]any{"name": "db"}})
			},
		},
		"SecretBesideToken": {
			reason: "A source is built from its token alone.",
			tamper: func(in map[string]any) {
				volume(in, "eks-pod-identity-token")["projected"].(map[string]any)["sources"].([]any)[0].(map[string]any)["secret"] = map[string]any{"name": "db"}
			},
			harmless: true,
		},
		"MountOverSystem": {
			reason: "Nothing is mounted over the system's directories.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["mountPath"] = "/etc/ssl" },
		},
		"MountOverTokens": {
			reason: "Nothing is mounted where tokens are.",
			tamper: func(in map[string]any) {
				mount(in, "sc-disk")["mountPath"] = "/var/run/secrets/kubernetes.io/serviceaccount"
			},
		},
		"MountByDots": {
			reason: "A path with dots may lead anywhere.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["mountPath"] = "/data/../etc" },
		},
		"MountBySlashes": {
			reason: "A path with double slashes may be a system directory in disguise.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["mountPath"] = "//etc" },
		},
		"MountOfRoot": {
			reason: "The root directory is the container's.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["mountPath"] = "/" },
		},
		"MountOfForeignVolume": {
			reason: "Only the injection's volumes are mounted, not the pod's own Secrets.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["name"] = "own" },
		},
		"TokenMountedElsewhere": {
			reason: "A token has its own place.",
			tamper: func(in map[string]any) { mount(in, "eks-pod-identity-token")["mountPath"] = "/data/token" },
		},
		"SubPathOutside": {
			reason: "A folder of the disk is within the disk.",
			tamper: func(in map[string]any) { mount(in, "sc-disk")["subPath"] = "../x" },
		},
		"MountPropagation": {
			reason:   "Propagation isn't a field of our mounts.",
			tamper:   func(in map[string]any) { mount(in, "sc-disk")["mountPropagation"] = "Bidirectional" },
			harmless: true,
		},
		"ForeignVariable": {
			reason: "LD_PRELOAD runs code in every process.",
			tamper: func(in map[string]any) {
				in["env"] = append(in["env"].([]any), map[string]any{"name": "LD_PRELOAD", "value": "/data/cache-storage/x.so"})
			},
		},
		"CredentialsFromElsewhere": {
			reason: "The pod's token would be sent there.",
			tamper: func(in map[string]any) {
				variable(in, "AWS_CONTAINER_CREDENTIALS_FULL_URI")["value"] = "https://evil.example.com/"
			},
		},
		"DatabaseElsewhere": {
			reason: "The pod would log in there.",
			tamper: func(in map[string]any) { variable(in, "DB_HOST")["value"] = "db.example.com" },
		},
		"VariableReference": {
			reason: "A reference would copy another variable of the container.",
			tamper: func(in map[string]any) { variable(in, "AWS_REGION")["value"] = "$(DB_PASSWORD)" },
		},
		"VariableFromSecret": {
			reason: "A variable is a literal.",
			tamper: func(in map[string]any) {
				v := variable(in, "AWS_REGION")
				delete(v, "value")
				v["valueFrom"] = map[string]any{"secretKeyRef": map[string]any{"name": "db", "key": "password"}}
			},
		},
		"SecondLine": {
			reason: "A pattern is held to the whole value.",
			tamper: func(in map[string]any) { variable(in, "AWS_REGION")["value"] = "eu-west-1\n$(X)" },
		},
		"ForeignLabel": {
			reason: "A label may join the pod to a Service, or slip it past a NetworkPolicy.",
			tamper: func(in map[string]any) { in["labels"].(map[string]any)["app"] = "payments" },
		},
		"LabelValue": {
			reason: "The label has one value.",
			tamper: func(in map[string]any) { in["labels"].(map[string]any)["azure.workload.identity/use"] = "yes" },
		},
		"ForeignAnnotation": {
			reason: "An annotation may switch off a mesh or a security profile.",
			tamper: func(in map[string]any) { in["annotations"] = map[string]any{"sidecar.istio.io/inject": "false"} },
		},
		"Hash": {
			reason: "The hash is hex digits.",
			tamper: func(in map[string]any) { in["hash"] = "<b>" },
		},
		"NoServiceAccount": {
			reason: "An injection without a service account isn't the function's.",
			tamper: func(in map[string]any) { delete(in, "serviceAccountName") },
		},
		"FSGroup": {
			reason: "A group is a number.",
			tamper: func(in map[string]any) { in["fsGroup"] = "root" },
		},
		"InstancePort": {
			reason: "No port.",
			tamper: func(in map[string]any) {
				sidecar(in)["args"].([]any)[0] = "my-project-123456:us-east1:my-instance?port=99999"
			},
		},
		"Quantity": {
			reason: "The API server would refuse the pod, though the policy may fail.",
			tamper: func(in map[string]any) {
				sidecar(in)["resources"].(map[string]any)["limits"].(map[string]any)["cpu"] = "much"
			},
		},
		"QuantityBelowZero": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				sidecar(in)["resources"].(map[string]any)["requests"].(map[string]any)["cpu"] = "-1"
			},
		},
		"RequestsAboveLimits": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				sidecar(in)["resources"] = map[string]any{"requests": map[string]any{"cpu": "2"}, "limits": map[string]any{"cpu": "1"}}
			},
		},
		"PortName": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				sidecar(in)["ports"].([]any)[0].(map[string]any)["name"] = "a-name-of-more-than-15-characters"
			},
		},
		"Port": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				sidecar(in)["ports"].([]any)[0].(map[string]any)["containerPort"] = int64(99999)
			},
		},
		"SecondPort": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				c := sidecar(in)
				c["ports"] = append(c["ports"].([]any), c["ports"].([]any)[0])
			},
		},
		"ProbePort": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				sidecar(in)["startupProbe"].(map[string]any)["httpGet"].(map[string]any)["port"] = int64(0)
			},
		},
		"ProbePeriod": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) { sidecar(in)["livenessProbe"].(map[string]any)["periodSeconds"] = int64(-1) },
		},
		"TwoVolumesOfOneName": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				in["volumes"] = append(in["volumes"].([]any), runtimeCopy(volume(in, "sc-disk")))
			},
		},
		"TwoMountsAtOnePath": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) {
				in["volumeMounts"] = append(in["volumeMounts"].([]any), runtimeCopy(mount(in, "sc-disk")))
			},
		},
		"ServiceAccountName": {
			reason: "The API server would refuse the pod.",
			tamper: func(in map[string]any) { in["serviceAccountName"] = "a..b" },
		},
		"PodFields": {
			reason: "What isn't named in the policy can't pass.",
			tamper: func(in map[string]any) {
				in["hostNetwork"], in["hostPID"] = true, true
				in["securityContext"] = map[string]any{"runAsUser": int64(0)}
				in["ephemeralContainers"] = []any{map[string]any{"name": "x"}}
			},
			harmless: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := readPod(t, `spec: {volumes: [{name: own, secret: {secretName: db}}], containers: [{name: api, image: api}]}`)
			honest := shop(t, injection(t, connections...))
			want := pod
			if tc.harmless {
				var err error
				if want, err = p.admit(pod, honest); err != nil {
					t.Fatal(err)
				}
				if want.Spec.ServiceAccountName != serviceAccount {
					t.Fatal("the untampered injection isn't applied")
				}
			}
			tampered := runtimeCopy(honest)
			tc.tamper(statusOf(tampered)["injection"].(map[string]any))
			// An error leaves the pod as it is, so it is as good as a refusal.
			got, _ := p.admitBoth(t, forms, pod, tampered)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(corev1.Pod{}, "TypeMeta")); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			if _, ok := fitting(t, forms, statusOf(tampered)["injection"].(map[string]any)); ok != tc.harmless {
				t.Errorf("%s\npackage workload takes it: %t, want %t", tc.reason, ok, tc.harmless)
			}
		})
	}
}

// TestSecondInstance holds that the one proxy may have another instance, each with the
// options that are its own: a service may have several databases.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	p := compile(t)
	forms := readForms(t)
	for name, tc := range map[string]struct{ reason, instance string }{
		"Plain":   {"An instance with its port.", "my-project-123456:us-east1:other?port=5433"},
		"Options": {"An instance says itself how it is reached, where there are several.", "my-project-123456:us-east1:other?port=5433&private-ip=true&auto-iam-authn=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := readPod(t, `spec: {containers: [{name: api, image: api}]}`)
			sc := shop(t, injection(t, "cloudSql"))
			in := statusOf(sc)["injection"].(map[string]any)
			c := sidecar(in)
			c["args"] = append([]any{tc.instance}, c["args"].([]any)...)
			got, _ := p.admitBoth(t, forms, pod, sc)
			var args []any
			for i := range got.Spec.InitContainers {
				for _, a := range got.Spec.InitContainers[i].Args {
					args = append(args, a)
				}
			}
			if diff := cmp.Diff(c["args"], any(args)); diff != "" {
				t.Errorf("%s\nthe proxy's arguments: -want +got:\n%s", tc.reason, diff)
			}
			if _, ok := fitting(t, forms, in); !ok {
				t.Errorf("%s\npackage workload refuses it", tc.reason)
			}
		})
	}
}

func runtimeCopy(m map[string]any) map[string]any {
	return (&unstructured.Unstructured{Object: m}).DeepCopy().Object
}

func sidecar(in map[string]any) map[string]any {
	return in["initContainers"].([]any)[0].(map[string]any)
}

func named(in map[string]any, list, name string) map[string]any {
	for _, v := range in[list].([]any) {
		if m := v.(map[string]any); m["name"] == name {
			return m
		}
	}
	panic("no " + name + " in " + list)
}

func volume(in map[string]any, name string) map[string]any   { return named(in, "volumes", name) }
func mount(in map[string]any, name string) map[string]any    { return named(in, "volumeMounts", name) }
func variable(in map[string]any, name string) map[string]any { return named(in, "env", name) }

func token(in map[string]any) map[string]any {
	sources := volume(in, "eks-pod-identity-token")["projected"].(map[string]any)["sources"].([]any)
	return sources[0].(map[string]any)["serviceAccountToken"].(map[string]any)
}
