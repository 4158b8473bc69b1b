package webhook

import (
	"context"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const namespace = "service-connections"

func pathSecret(path string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pathSecretName}}
	if path != "" {
		s.Data = map[string][]byte{pathKey: []byte(path)}
	}
	return s
}

func injecting(c admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: injectName}, Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "inject", ClientConfig: c}},
	}
}

func requiring(c admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: requireName}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "require", ClientConfig: c}},
	}
}

func atService(path *string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		CABundle: []byte("ca"), Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "service-connections-webhook", Path: path},
	}
}

func atURL(url string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{URL: &url}
}

func TestPathInConfigurations(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason     string
		objects    []client.Object
		inject     *admissionregistrationv1.WebhookClientConfig
		require    *admissionregistrationv1.WebhookClientConfig
		wantsWrite bool
	}{
		"Installed": {
			reason:     "The manifest has no path, and each configuration gets its own.",
			objects:    []client.Object{pathSecret("p"), injecting(atService(nil)), requiring(atService(nil))},
			inject:     new(atService(new("/inject/p"))),
			require:    new(atService(new("/require/p"))),
			wantsWrite: true,
		},
		"WithoutRequirement": {
			reason:     "The other configuration is an option.",
			objects:    []client.Object{pathSecret("p"), injecting(atService(new("/inject/old")))},
			inject:     new(atService(new("/inject/p"))),
			wantsWrite: true,
		},
		"AtRest": {
			reason:  "Nothing is written that is right.",
			objects: []client.Object{pathSecret("p"), injecting(atService(new("/inject/p"))), requiring(atService(new("/require/p")))},
			inject:  new(atService(new("/inject/p"))),
			require: new(atService(new("/require/p"))),
		},
		"OutsideOfTheCluster": {
			reason:     "A URL keeps its host.",
			objects:    []client.Object{pathSecret("p"), injecting(atURL("https://localhost:1/x?y"))},
			inject:     new(atURL("https://localhost:1/inject/p?y")),
			wantsWrite: true,
		},
		"Uninstalled": {reason: "There is nobody to tell.", objects: []client.Object{pathSecret("p")}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrote := false
			c := fake.NewClientBuilder().WithObjects(tc.objects...).WithInterceptorFuncs(interceptor.Funcs{
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					wrote = true
					return c.Update(ctx, o, opts...)
				},
			}).Build()
			p := &secretPath{client: c, namespace: namespace, log: logging.NewNopLogger()}
			if err := p.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p.get() != "p" {
				t.Errorf("%s\npath %q, want the Secret's", tc.reason, p.get())
			}
			if wrote != tc.wantsWrite {
				t.Errorf("%s\nwrote %t, want %t", tc.reason, wrote, tc.wantsWrite)
			}
			if tc.inject != nil {
				got := &admissionregistrationv1.MutatingWebhookConfiguration{}
				if err := c.Get(t.Context(), client.ObjectKey{Name: injectName}, got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(*tc.inject, got.Webhooks[0].ClientConfig); diff != "" {
					t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
				}
			}
			if tc.require != nil {
				got := &admissionregistrationv1.ValidatingWebhookConfiguration{}
				if err := c.Get(t.Context(), client.ObjectKey{Name: requireName}, got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(*tc.require, got.Webhooks[0].ClientConfig); diff != "" {
					t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
				}
			}
		})
	}
}

// TestPathIsMadeOnce holds that replicas share one path, also where both find none.
func TestPathIsMadeOnce(t *testing.T) {
	t.Parallel()
	// The other replica writes between this one's reading and its writing.
	first := true
	c := fake.NewClientBuilder().WithObjects(pathSecret("")).WithInterceptorFuncs(interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if first {
				first = false
				theirs := &corev1.Secret{}
				if err := c.Get(ctx, client.ObjectKeyFromObject(o), theirs); err != nil {
					return err
				}
				theirs.Data = map[string][]byte{pathKey: []byte("theirs")}
				if err := c.Update(ctx, theirs); err != nil {
					return err
				}
			}
			return c.Update(ctx, o, opts...)
		},
	}).Build()
	p := &secretPath{client: c, namespace: namespace, log: logging.NewNopLogger()}
	if err := p.reconcile(t.Context()); !isConflict(err) {
		t.Fatalf("want the conflict told, to try again, got %v", err)
	}
	if err := p.reconcile(t.Context()); err != nil || p.get() != "theirs" {
		t.Errorf("want the other replica's path, got %q, %v", p.get(), err)
	}
}

// TestPathIsASecret holds that nobody guesses a path that was made here.
func TestPathIsASecret(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	for range 3 {
		p := &secretPath{client: fake.NewClientBuilder().WithObjects(pathSecret("")).Build(), namespace: namespace, log: logging.NewNopLogger()}
		if err := p.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(p.get()) < 26 || made[p.get()] {
			t.Errorf("path %q, want 26 characters that are new each time", p.get())
		}
		made[p.get()] = true
	}
}
