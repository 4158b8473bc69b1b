package google

import (
	"errors"
	"fmt"

	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	xpv2 "github.com/crossplane/crossplane-runtime/v2/apis/common/v2"
	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/resource/json"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The Go types of ServiceAccountIAMMember. provider-gcp v1.14.0 has those of the
// cluster-scoped kind, for an older upjet; later releases, which have the namespaced
// kind, are not to be had as Go modules. So these are written by the schemas
// (test/schema/providers.go says how the namespaced one is derived), as upjet would
// generate them, without references to other resources.

type condition struct {
	Description *string `json:"description,omitempty" tf:"description,omitempty"`
	Expression  *string `json:"expression,omitempty"  tf:"expression,omitempty"`
	Title       *string `json:"title,omitempty"       tf:"title,omitempty"`
}

type parameters struct {
	Condition        *condition `json:"condition,omitempty"        tf:"condition,omitempty"`
	Member           *string    `json:"member,omitempty"           tf:"member,omitempty"`
	Role             *string    `json:"role,omitempty"             tf:"role,omitempty"`
	ServiceAccountID *string    `json:"serviceAccountId,omitempty" tf:"service_account_id,omitempty"`
}

type observation struct {
	Condition        *condition `json:"condition,omitempty"        tf:"condition,omitempty"`
	Etag             *string    `json:"etag,omitempty"             tf:"etag,omitempty"`
	ID               *string    `json:"id,omitempty"               tf:"id,omitempty"`
	Member           *string    `json:"member,omitempty"           tf:"member,omitempty"`
	Role             *string    `json:"role,omitempty"             tf:"role,omitempty"`
	ServiceAccountID *string    `json:"serviceAccountId,omitempty" tf:"service_account_id,omitempty"`
}

type memberStatus struct {
	xpv1.ResourceStatus `json:",inline"`

	AtProvider observation `json:"atProvider,omitempty"`
}

// A member is what both kinds have in common.
type member struct {
	ForProvider  *parameters
	InitProvider *parameters
	AtProvider   *observation
}

func toMap(v any) (map[string]any, error) {
	b, err := json.TFParser.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode: %w", err)
	}
	out := map[string]any{}
	return out, json.TFParser.Unmarshal(b, &out) //nolint:wrapcheck // As upjet's generated code.
}

func fromMap(m map[string]any, v any) error {
	b, err := json.TFParser.Marshal(m)
	if err != nil {
		return fmt.Errorf("cannot encode: %w", err)
	}
	return json.TFParser.Unmarshal(b, v) //nolint:wrapcheck // As upjet's generated code.
}

func (m member) id() string {
	if m.AtProvider.ID == nil {
		return ""
	}
	return *m.AtProvider.ID
}

// merged parameters: those of initProvider where forProvider has none.
func (m member) merged(initToo bool) (map[string]any, error) {
	params, err := toMap(m.ForProvider)
	if err != nil || !initToo {
		return params, err
	}
	more, err := toMap(m.InitProvider)
	if err != nil {
		return nil, err
	}
	for k, v := range more {
		if _, ok := params[k]; !ok {
			params[k] = v
		}
	}
	return params, nil
}

func (m member) lateInitialize(attrs []byte) (bool, error) {
	params := &parameters{}
	if err := json.TFParser.Unmarshal(attrs, params); err != nil {
		return false, fmt.Errorf("failed to unmarshal Terraform state parameters for late-initialization: %w", err)
	}
	li := resource.NewGenericLateInitializer(resource.WithZeroValueJSONOmitEmptyFilter(resource.CNameWildcard))
	return li.LateInitialize(m.ForProvider, params) //nolint:wrapcheck // As upjet's generated code.
}

const terraformType = "google_service_account_iam_member"

// ServiceAccountIAMMember is cloudplatform.gcp.m.upbound.io/v1beta1.
type ServiceAccountIAMMember struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec struct {
		xpv2.ManagedResourceSpec `json:",inline"`

		ForProvider  parameters `json:"forProvider"`
		InitProvider parameters `json:"initProvider,omitempty"`
	} `json:"spec"`
	Status memberStatus `json:"status,omitempty"`
}

// LegacyServiceAccountIAMMember is cloudplatform.gcp.upbound.io/v1beta2
// ServiceAccountIAMMember.
type LegacyServiceAccountIAMMember struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec struct {
		xpv1.ResourceSpec `json:",inline"`

		ForProvider  parameters `json:"forProvider"`
		InitProvider parameters `json:"initProvider,omitempty"`
	} `json:"spec"`
	Status memberStatus `json:"status,omitempty"`
}

var (
	_ resource.Terraformed     = &ServiceAccountIAMMember{}
	_ xpresource.ModernManaged = &ServiceAccountIAMMember{}
	_ resource.Terraformed     = &LegacyServiceAccountIAMMember{}
	_ xpresource.LegacyManaged = &LegacyServiceAccountIAMMember{} //nolint:staticcheck // What claims compose is of the old kind.
)

// A list of one of the kinds.
type list[T any] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []T `json:"items"`
}

// DeepCopyObject copies all of it.
func (l *list[T]) DeepCopyObject() runtime.Object {
	out := &list[T]{}
	deepCopy(l, out)
	return out
}

// deepCopy by JSON, in which all of these are read and written.
func deepCopy(in, out any) {
	b, err := json.JSParser.Marshal(in)
	if err = errors.Join(err, json.JSParser.Unmarshal(b, out)); err != nil {
		panic(err) // Neither fails for what came from the API server.
	}
}
