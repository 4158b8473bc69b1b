package schema

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// parse decodes a literal object, for numbers the way Go code would write it.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()

	obj := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &obj); err != nil {
		t.Fatalf("cannot decode test object: %v", err)
	}

	return obj
}

// set changes the field at path, such as spec.forProvider.region, of obj.
func set(obj map[string]any, path string, value any) {
	fields := strings.Split(path, ".")
	for _, f := range fields[:len(fields)-1] {
		child, ok := obj[f].(map[string]any)
		if !ok {
			child = map[string]any{}
			obj[f] = child
		}

		obj = child
	}

	last := fields[len(fields)-1]
	if value == nil {
		delete(obj, last)
		return
	}

	obj[last] = value
}

// kinds has a good object of each kind that the function composes, for the
// namespaced group, and what the cluster-scoped group calls it.
var kinds = map[string]struct {
	namespaced string
	cluster    schema.GroupVersion
	required   string // A field without which the object is refused; empty if there is none.
	wrongType  string // A field that is neither an integer nor has one in it.
}{
	"Role": {
		cluster:   schema.GroupVersion{Group: "iam.aws.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider.assumeRolePolicy",
		wrongType: "spec.forProvider.path",
		namespaced: `
apiVersion: iam.aws.m.upbound.io/v1beta1
kind: Role
metadata: {name: r, namespace: team-a}
spec:
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider:
    assumeRolePolicy: "{}"
    path: /serviceconnections/
    permissionsBoundary: arn:aws:iam::123456789012:policy/boundary
    tags: {team: a}
`,
	},
	"Policy": {
		cluster:   schema.GroupVersion{Group: "iam.aws.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider.policy",
		wrongType: "spec.forProvider.policy",
		namespaced: `
apiVersion: iam.aws.m.upbound.io/v1beta1
kind: Policy
metadata: {name: p, namespace: team-a}
spec:
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider: {policy: "{}", path: /serviceconnections/}
`,
	},
	"RolePolicyAttachment": {
		cluster:   schema.GroupVersion{Group: "iam.aws.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider",
		wrongType: "spec.forProvider.role",
		namespaced: `
apiVersion: iam.aws.m.upbound.io/v1beta1
kind: RolePolicyAttachment
metadata: {name: a, namespace: team-a}
spec:
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider: {role: r, policyArn: "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
`,
	},
	"PodIdentityAssociation": {
		cluster:   schema.GroupVersion{Group: "eks.aws.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider.serviceAccount",
		wrongType: "spec.forProvider.roleArn",
		namespaced: `
apiVersion: eks.aws.m.upbound.io/v1beta1
kind: PodIdentityAssociation
metadata: {name: a, namespace: team-a}
spec:
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider:
    region: eu-west-1
    clusterName: prod-eu
    namespace: team-a
    serviceAccount: shop-api
    roleArn: arn:aws:iam::123456789012:role/r
    targetRoleArn: arn:aws:iam::210987654321:role/r
`,
	},
	"UserAssignedIdentity": {
		cluster:   schema.GroupVersion{Group: "managedidentity.azure.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider",
		wrongType: "spec.forProvider.resourceGroupName",
		namespaced: `
apiVersion: managedidentity.azure.m.upbound.io/v1beta1
kind: UserAssignedIdentity
metadata: {name: i, namespace: team-a}
spec:
  managementPolicies: [Observe]
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider: {resourceGroupName: rg-a}
`,
	},
	"FederatedIdentityCredential": {
		cluster:   schema.GroupVersion{Group: "managedidentity.azure.upbound.io", Version: "v1beta1"},
		required:  "spec.forProvider.issuer",
		wrongType: "spec.forProvider.parentId",
		namespaced: `
apiVersion: managedidentity.azure.m.upbound.io/v1beta1
kind: FederatedIdentityCredential
metadata: {name: c, namespace: team-a}
spec:
  managementPolicies: [Observe, Create, Update, Delete]
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider:
    audience: ["api://AzureADTokenExchange"]
    issuer: https://eastus.oic.prod-aks.azure.com/t/i/
    subject: system:serviceaccount:team-a:shop-api
    parentId: /subscriptions/s/resourceGroups/rg-a/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i
    resourceGroupName: rg-a
`,
	},
	"ServiceAccountIAMMember": {
		cluster:   schema.GroupVersion{Group: "cloudplatform.gcp.upbound.io", Version: "v1beta2"},
		required:  "spec.forProvider.member",
		wrongType: "spec.forProvider.serviceAccountId",
		namespaced: `
apiVersion: cloudplatform.gcp.m.upbound.io/v1beta1
kind: ServiceAccountIAMMember
metadata: {name: m, namespace: team-a}
spec:
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider:
    serviceAccountId: projects/p/serviceAccounts/a@p.iam.gserviceaccount.com
    role: roles/iam.workloadIdentityUser
    member: serviceAccount:p.svc.id.goog[team-a/shop-api]
    condition: {title: t, expression: "true"}
`,
	},
	"Object": {
		cluster:   schema.GroupVersion{Group: "kubernetes.crossplane.io", Version: "v1alpha2"},
		required:  "spec.forProvider.manifest",
		wrongType: "spec.managementPolicies",
		namespaced: `
apiVersion: kubernetes.m.crossplane.io/v1alpha1
kind: Object
metadata: {name: o, namespace: team-a}
spec:
  managementPolicies: [Observe, Create, Update]
  providerConfigRef: {kind: ClusterProviderConfig, name: default}
  forProvider:
    manifest:
      apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: uploads, namespace: team-a}
      spec: {accessModes: [ReadWriteOnce]}
`,
	},
}

// clusterScoped makes of a namespaced managed resource what claims mode emits.
func clusterScoped(obj map[string]any, gv schema.GroupVersion) {
	set(obj, "apiVersion", gv.String())
	set(obj, "metadata.namespace", nil)
	set(obj, "spec.providerConfigRef.kind", nil)
	set(obj, "spec.deletionPolicy", "Delete")
}

func TestProvidersManagedResources(t *testing.T) {
	t.Parallel()

	v := Providers(t)

	cases := map[string]struct {
		reason string
		change func(obj map[string]any, required, wrongType string)
		want   string // Part of the error; empty if the object is good.
		// The field that the error must be about: required, wrongType, or a path.
		field func(required, wrongType string) string
	}{
		"Good": {
			reason: "What the function emits is accepted, or every other case proves nothing.",
		},
		"UnknownField": {
			reason: "The API server drops a misspelt field, and the provider never sees it.",
			change: func(obj map[string]any, _, _ string) { set(obj, "spec.forProvider.regoin", "eu-west-1") },
			want:   "unknown field",
			field:  func(string, string) string { return "spec.forProvider.regoin" },
		},
		"UnknownMetadata": {
			reason: "A misspelt field of metadata is lost like any other.",
			change: func(obj map[string]any, _, _ string) { set(obj, "metadata.anotations", map[string]any{"a": "b"}) },
			want:   "unknown field",
			field:  func(string, string) string { return "metadata.anotations" },
		},
		"MissingRequired": {
			reason: "A provider needs the field in order to create the resource, by its schema or by a CEL rule that reads the defaulted managementPolicies.",
			change: func(obj map[string]any, required, _ string) { set(obj, required, nil) },
			want:   "equired",
			field: func(required, _ string) string {
				return required
			},
		},
		"WrongType": {
			reason: "A number where the schema has none is refused by the API server.",
			change: func(obj map[string]any, _, wrongType string) { set(obj, wrongType, 7) },
			want:   "must be of type",
			field:  func(_, wrongType string) string { return wrongType },
		},
		"UnknownManagementPolicy": {
			reason: "An enum is held to its values.",
			change: func(obj map[string]any, _, _ string) { set(obj, "spec.managementPolicies", []any{"Look"}) },
			want:   "Unsupported value",
			field:  func(string, string) string { return "spec.managementPolicies[0]" },
		},
		"NoName": {
			reason: "An object without name and generateName can't be created.",
			change: func(obj map[string]any, _, _ string) { set(obj, "metadata.name", nil) },
			want:   "name or generateName is required",
			field:  func(string, string) string { return "metadata.name" },
		},
	}

	for kind, k := range kinds {
		for name, tc := range cases {
			for _, scope := range []string{"Namespaced", "Cluster"} {
				t.Run(kind+"/"+name+"/"+scope, func(t *testing.T) {
					t.Parallel()

					obj := parse(t, k.namespaced)
					if scope == "Cluster" {
						clusterScoped(obj, k.cluster)
					}

					if tc.change != nil {
						tc.change(obj, k.required, k.wrongType)
					}

					errs := v.Validate(obj)
					if tc.want == "" {
						if len(errs) > 0 {
							t.Errorf("%s\nValidate(...): %v", tc.reason, errs)
						}

						return
					}

					path := tc.field(k.required, k.wrongType)
					for _, err := range errs {
						// CEL rules of the providers name the field in their message.
						if strings.Contains(err.Error(), tc.want) && strings.Contains(err.Error(), path) {
							return
						}
					}

					t.Errorf("%s\nValidate(...): want an error that has %q and %q, got %v", tc.reason, path, tc.want, errs)
				})
			}
		}
	}
}

func TestProvidersManifest(t *testing.T) {
	t.Parallel()

	v := Providers(t)

	const manifest = "spec.forProvider.manifest"

	cases := map[string]struct {
		reason string
		change func(obj map[string]any)
		want   string // Part of the only error; empty if the object is good.
	}{
		"Good": {
			reason: "What the function emits is accepted.",
			change: func(map[string]any) {},
		},
		"UnknownField": {
			reason: "The provider would create a volume claim without the field.",
			change: func(obj map[string]any) { set(obj, manifest+".spec.storageClass", "gp3") },
			want:   manifest + ".spec.storageClass: Forbidden",
		},
		"WrongType": {
			reason: "The provider would be refused by the API server, over and over.",
			change: func(obj map[string]any) { set(obj, manifest+".spec.accessModes", "ReadWriteOnce") },
			want:   manifest + ".spec.accessModes: Invalid value",
		},
		"Quantity": {
			reason: "A size is a quantity.",
			change: func(obj map[string]any) { set(obj, manifest+".spec.resources.requests.storage", "big") },
			want:   "quantities must match",
		},
		"NoName": {
			reason: "An object without a name can't be created.",
			change: func(obj map[string]any) { set(obj, manifest+".metadata.name", nil) },
			want:   manifest + ".metadata.name: Required value",
		},
		"NoNamespace": {
			reason: "A volume claim is in a namespace.",
			change: func(obj map[string]any) { set(obj, manifest+".metadata.namespace", nil) },
			want:   manifest + ".metadata.namespace: Required value",
		},
		"UnknownKind": {
			reason: "What nobody can validate isn't good.",
			change: func(obj map[string]any) { set(obj, manifest+".kind", "Volume") },
			want:   manifest + ".kind: Invalid value",
		},
	}

	k := kinds["Object"]
	for name, tc := range cases {
		for _, scope := range []string{"Namespaced", "Cluster"} {
			t.Run(name+"/"+scope, func(t *testing.T) {
				t.Parallel()

				obj := parse(t, k.namespaced)
				if scope == "Cluster" {
					clusterScoped(obj, k.cluster)
				}

				tc.change(obj)

				switch errs := v.Validate(obj); {
				case tc.want == "" && len(errs) > 0:
					t.Errorf("%s\nValidate(...): %v", tc.reason, errs)
				case tc.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), tc.want)):
					t.Errorf("%s\nValidate(...): want one error with %q, got %v", tc.reason, tc.want, errs)
				}
			})
		}
	}
}

func TestProvidersScope(t *testing.T) {
	t.Parallel()

	v := Providers(t)

	for kind, k := range kinds {
		cases := map[string]struct {
			reason string
			change func(obj map[string]any)
			want   string
		}{
			"NamespacedWithoutNamespace": {
				reason: "A namespaced kind needs a namespace.",
				change: func(obj map[string]any) { set(obj, "metadata.namespace", nil) },
				want:   "metadata.namespace: Required value",
			},
			"ClusterWithNamespace": {
				reason: "A cluster-scoped kind must not have a namespace.",
				change: func(obj map[string]any) {
					clusterScoped(obj, k.cluster)
					set(obj, "metadata.namespace", "team-a")
				},
				want: "metadata.namespace: Forbidden",
			},
			"NamespacedWithDeletionPolicy": {
				reason: "deletionPolicy belongs to the cluster-scoped kinds only.",
				change: func(obj map[string]any) { set(obj, "spec.deletionPolicy", "Delete") },
				want:   "spec.deletionPolicy: Forbidden: unknown field",
			},
			"NamespacedWithoutProviderConfigKind": {
				reason: "A namespaced kind must say whether it means a ProviderConfig or a ClusterProviderConfig.",
				change: func(obj map[string]any) { set(obj, "spec.providerConfigRef.kind", nil) },
				want:   "spec.providerConfigRef.kind: Required value",
			},
			"ClusterWithProviderConfigKind": {
				reason: "A cluster-scoped kind knows one kind of provider configuration only.",
				change: func(obj map[string]any) {
					clusterScoped(obj, k.cluster)
					set(obj, "spec.providerConfigRef.kind", "ClusterProviderConfig")
				},
				want: "spec.providerConfigRef.kind: Forbidden: unknown field",
			},
			"UnknownVersion": {
				reason: "A version that the provider doesn't serve can't be created.",
				change: func(obj map[string]any) {
					gv, _ := schema.ParseGroupVersion(obj["apiVersion"].(string))
					set(obj, "apiVersion", gv.Group+"/v9")
				},
				want: "no CustomResourceDefinition of this kind",
			},
		}

		for name, tc := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()

				obj := parse(t, k.namespaced)
				tc.change(obj)

				errs := v.Validate(obj)
				for _, err := range errs {
					if strings.Contains(err.Error(), tc.want) {
						return
					}
				}

				t.Errorf("%s\nValidate(...): want an error that has %q, got %v", tc.reason, tc.want, errs)
			})
		}
	}
}

func TestProvidersBuiltIn(t *testing.T) {
	t.Parallel()

	v := Providers(t)

	const serviceAccount = `
apiVersion: v1
kind: ServiceAccount
metadata:
  name: shop-api
  namespace: team-a
  annotations: {iam.gke.io/gcp-service-account: a@p.iam.gserviceaccount.com}
`

	const volumeClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: uploads, namespace: team-a}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: gp3
  resources: {requests: {storage: 20Gi}}
`

	cases := map[string]struct {
		reason string
		object string
		path   string
		value  any
		want   string
	}{
		"GoodServiceAccount": {
			reason: "What the function emits is accepted.",
			object: serviceAccount,
		},
		"GoodVolumeClaim": {
			reason: "What the function emits is accepted.",
			object: volumeClaim,
		},
		"UnknownField": {
			reason: "A ServiceAccount has no spec.",
			object: serviceAccount,
			path:   "spec.role",
			value:  "r",
			want:   `unknown field "spec"`,
		},
		"NestedUnknownField": {
			reason: "The API server drops a misspelt field.",
			object: volumeClaim,
			path:   "spec.storageClass",
			value:  "gp3",
			want:   `unknown field "spec.storageClass"`,
		},
		"WrongType": {
			reason: "An annotation is a string.",
			object: serviceAccount,
			path:   "metadata.annotations.a",
			value:  true,
			want:   "cannot unmarshal bool",
		},
		"BadQuantity": {
			reason: "A size is a Kubernetes quantity.",
			object: volumeClaim,
			path:   "spec.resources.requests.storage",
			value:  "20 gigabytes",
			want:   "quantities must match",
		},
		"NoNamespace": {
			reason: "Both kinds are namespaced.",
			object: serviceAccount,
			path:   "metadata.namespace",
			want:   "metadata.namespace: Required value",
		},
		"BadName": {
			reason: "A name is a DNS subdomain.",
			object: serviceAccount,
			path:   "metadata.name",
			value:  "Shop_API",
			want:   "metadata.name: Invalid value",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			obj := parse(t, tc.object)
			if tc.path != "" {
				set(obj, tc.path, tc.value)
			}

			errs := v.Validate(obj)
			if tc.want == "" {
				if len(errs) > 0 {
					t.Errorf("%s\nValidate(...): %v", tc.reason, errs)
				}

				return
			}

			for _, err := range errs {
				if strings.Contains(err.Error(), tc.want) {
					return
				}
			}

			t.Errorf("%s\nValidate(...): want an error that has %q, got %v", tc.reason, tc.want, errs)
		})
	}
}

func TestProvidersObjectManifest(t *testing.T) {
	t.Parallel()

	obj := parse(t, kinds["Object"].namespaced)
	set(obj, "spec.forProvider.manifest.metadata.labels", map[string]any{"a": 1})

	errs := Providers(t).Validate(obj)
	if len(errs) == 0 {
		t.Error("The manifest of an Object is an embedded resource, so its labels must be strings.\nValidate(...): want an error, got none")
	}
}

func TestProvidersTestEveryKind(t *testing.T) {
	t.Parallel()

	want := map[schema.GroupVersionKind]bool{}

	for kind, k := range kinds {
		gv, err := schema.ParseGroupVersion(parse(t, k.namespaced)["apiVersion"].(string))
		if err != nil {
			t.Fatalf("cannot parse apiVersion: %v", err)
		}

		want[gv.WithKind(kind)] = true
		want[k.cluster.WithKind(kind)] = true
	}

	got := Providers(t).Kinds()
	for gvk := range want {
		if !slices.Contains(got, gvk) {
			t.Errorf("Kinds(): want %s, which the function composes", gvk)
		}
	}

	for _, gvk := range got {
		// Old versions, such as v1alpha1 of Object, are served but not composed.
		covered := slices.ContainsFunc(got, func(o schema.GroupVersionKind) bool {
			return o.GroupKind() == gvk.GroupKind() && want[o]
		})
		if !covered {
			t.Errorf("Kinds(): %s has no test object", gvk)
		}
	}
}

func TestValidateLeavesObject(t *testing.T) {
	t.Parallel()

	obj := parse(t, kinds["Role"].namespaced)
	set(obj, "spec.forProvider.unknown", "x")
	set(obj, "spec.providerConfigRef", nil)

	Providers(t).Validate(obj)

	spec := obj["spec"].(map[string]any)
	if _, ok := spec["providerConfigRef"]; ok {
		t.Error("Validate(...): a default was set on the caller's object")
	}

	if _, ok := spec["forProvider"].(map[string]any)["unknown"]; !ok {
		t.Error("Validate(...): a field was pruned from the caller's object")
	}
}
