package cluster

import (
	"errors"
	"net"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

func TestExplain(t *testing.T) {
	t.Parallel()

	resource := ServiceConnections.GroupResource()
	cases := map[string]struct {
		reason string
		err    error
		want   string
	}{
		"NoKubeconfig": {
			reason: "Without a kubeconfig there is no cluster to ask.",
			err:    clientcmd.ErrEmptyConfig,
			want:   "cannot read it: no cluster is configured; name a kubeconfig with --kubeconfig or in KUBECONFIG",
		},
		"NoAnswer": {
			reason: "A cluster that doesn't run, or is elsewhere, is named by its address.",
			err:    &url.Error{Op: "Get", URL: "https://127.0.0.1:6443", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}},
			want:   `cannot read it: Get "https://127.0.0.1:6443": dial: connection refused; check that the cluster runs, or choose another with --context`,
		},
		"Unauthorized": {
			reason: "Credentials expire.",
			err:    apierrors.NewUnauthorized("token expired"),
			want:   "cannot read it: token expired; log in to the cluster again",
		},
		"Forbidden": {
			reason: "Who lacks a right learns which, and whom to ask.",
			err:    apierrors.NewForbidden(resource, "shop", errors.New("no")),
			want:   `cannot read it: serviceconnections.serviceconnections.io "shop" is forbidden: no; ask whoever administers the cluster for the role view in that namespace`,
		},
		"NoKind": {
			reason: "A cluster without the configuration doesn't know the kind.",
			err:    &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource"}},
			want:   "cannot read it: the cluster has no such kind; install package/configuration or package/configuration-claims, or choose another cluster with --context",
		},
		"NotFound": {
			reason: "A misspelt name leads to those that are there.",
			err:    apierrors.NewNotFound(resource, "shop"),
			want:   `cannot read it: serviceconnections.serviceconnections.io "shop" not found; see kubectl get serviceconnections -A for what there is`,
		},
		"Other": {
			reason: "What isn't known is said as it is.",
			err:    errors.New("boom"),
			want:   "cannot read it: boom",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, Explain("read it", tc.err).Error()); diff != "" {
				t.Errorf("\n%s\nExplain(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
	if err := Explain("read it", nil); err != nil {
		t.Errorf("Explain(nil): want nil, got %v", err)
	}
}
