package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// webhookNamespace is where package/webhook installs the admission webhook.
const webhookNamespace = "service-connections"

// The webhook's manifests but for its Deployment, whose pods are processes here, and the
// optional one.
var (
	webhookManifests = []string{
		"package/webhook/namespace.yaml", "package/webhook/rbac.yaml", "package/webhook/secrets.yaml",
		"package/webhook/configuration.yaml",
	}
	requireManifest = "package/webhook/require-injection/configuration.yaml"
)

// A Webhook is the admission webhook as install-webhook.yaml installs it: replicas with
// no more rights than that gives, behind one address, with the Secret of their
// certificate as the kubelet mounts it.
type Webhook struct {
	c       *ControlPlane
	front   *front
	stop    context.CancelFunc
	kubelet sync.WaitGroup

	replicas []*process
	metrics  []string
	reviews  []string
}

// StartWebhook with some replicas, and wait until the API server asks it. With require
// it also holds pods back.
func (c *ControlPlane) StartWebhook(ctx context.Context, replicas int, require bool) (_ *Webhook, err error) {
	w := &Webhook{c: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if w.front, err = newFront(ctx); err != nil {
		return nil, err
	}
	manifests := webhookManifests
	if require {
		manifests = append([]string{requireManifest}, manifests...)
	}
	for _, m := range manifests {
		if err := w.apply(ctx, m); err != nil {
			return nil, err
		}
	}
	certificates := c.path("webhook-certificates")
	mounting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = cancel
	w.kubelet.Go(func() { w.mount(mounting, certificates) })
	kubeconfig, err := c.writeKubeconfig(webhook)
	if err != nil {
		return nil, err
	}
	for i := range replicas {
		free, err := freePorts(ctx, 2)
		if err != nil {
			return nil, err
		}
		review, metrics := fmt.Sprintf("127.0.0.1:%d", free[0]), fmt.Sprintf("127.0.0.1:%d", free[1])
		p, err := start(c.Dir, program{name: fmt.Sprintf("webhook-%d", i), path: c.tool(FunctionBinary), env: []string{"KUBECONFIG=" + kubeconfig}, args: []string{
			"webhook", "--address=" + review, "--metrics-address=" + metrics,
			"--certs-dir=" + certificates, "--namespace=" + webhookNamespace, "--host=localhost",
		}})
		if err != nil {
			return nil, err
		}
		w.replicas, w.metrics, w.reviews = append(w.replicas, p), append(w.metrics, metrics), append(w.reviews, review)
		w.front.add(review, metrics)
	}
	return w, inTime(ctx, func(ctx context.Context) error {
		for i, p := range w.replicas {
			if err := p.await(ctx, func(ctx context.Context) error { return get(ctx, "http://"+w.metrics[i]+"/readyz") }); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply one of the manifests. The API server here calls by URL what it would call as a
// Service in a cluster, of which there is no network.
func (w *Webhook) apply(ctx context.Context, manifest string) error {
	b, err := os.ReadFile(filepath.Join(w.c.Root, manifest))
	if err != nil {
		return fmt.Errorf("cannot read manifest: %w", err)
	}
	objects, err := Parse(string(b))
	if err != nil {
		return err
	}
	for _, o := range objects {
		hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
		for _, h := range hooks {
			if hook, ok := h.(map[string]any); ok {
				hook["clientConfig"] = map[string]any{"url": "https://" + w.front.host() + "/"}
			}
		}
		if hooks != nil {
			if err := unstructured.SetNestedSlice(o.Object, hooks, "webhooks"); err != nil {
				return fmt.Errorf("cannot change %s: %w", manifest, err)
			}
		}
		if err := w.c.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// mountDelay is how much later than a Secret changes the kubelet has mounted it. A real one
// takes up to two minutes, in which nothing may depend on what it will mount.
const mountDelay = 3 * time.Second

// mount the certificate's Secret into a folder, as the kubelet does.
func (w *Webhook) mount(ctx context.Context, dir string) {
	const interval = 100 * time.Millisecond
	var last []byte
	for tick := time.NewTicker(interval); ; {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: webhookNamespace, Name: "service-connections-webhook-certificates"}
		if err := w.c.Client.Get(ctx, key, secret); err == nil && len(secret.Data[corev1.TLSCertKey]) > 0 && !bytes.Equal(secret.Data[corev1.TLSCertKey], last) {
			mounted := &corev1.Secret{Data: map[string][]byte{}}
			mounted.Name = secret.Name
			for _, file := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
				mounted.Data[file] = secret.Data[file]
			}
			if last != nil {
				await(ctx, mountDelay)
			}
			if writeSecret(dir, mounted) == nil {
				last = secret.Data[corev1.TLSCertKey]
			}
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// await some time, or the end of the context.
func await(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Kill one of the replicas without warning.
func (w *Webhook) Kill(i int) { w.replicas[i].kill() }

// Stall one of the replicas: it neither answers nor ends.
func (w *Webhook) Stall(ctx context.Context, i int, d time.Duration) error {
	return w.replicas[i].stall(ctx, d)
}

// Addresses of the replicas' reviews, past the Service.
func (w *Webhook) Addresses() []string { return w.reviews }

// Metrics of a replica.
func (w *Webhook) Metrics(ctx context.Context, i int) (Metrics, error) {
	return readMetrics(ctx, http.DefaultClient, "http://"+w.metrics[i]+"/metrics")
}

// StopReplicas stops all of them. What they are installed by stays, as where all have
// failed.
func (w *Webhook) StopReplicas() {
	for _, p := range w.replicas {
		p.stop()
	}
}

// Stop the webhook and uninstall it.
func (w *Webhook) Stop(ctx context.Context) error {
	var errs []error
	for _, kind := range []struct{ kind, name string }{
		{"MutatingWebhookConfiguration", "00-service-connections"},
		{"ValidatingWebhookConfiguration", "service-connections-require-injection"},
	} {
		o := object("admissionregistration.k8s.io/v1", kind.kind, kind.name)
		errs = append(errs, client.IgnoreNotFound(w.c.Client.Delete(ctx, o)))
	}
	w.StopReplicas()
	if w.stop != nil {
		w.stop()
		w.kubelet.Wait()
	}
	if w.front != nil {
		w.front.close()
	}
	return errors.Join(errs...)
}

// A front is what a Service is in a cluster: one address for all replicas that are
// ready.
type front struct {
	listener net.Listener
	done     sync.WaitGroup

	mu       sync.Mutex
	next     int
	backends []backend
	open     map[net.Conn]bool
}

type backend struct{ address, probe string }

func newFront(ctx context.Context) (*front, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the webhook: %w", err)
	}
	f := &front{listener: l, open: map[net.Conn]bool{}}
	f.done.Go(f.accept)
	return f, nil
}

// host at which it listens, by the name of the webhook's certificate.
func (f *front) host() string {
	_, port, _ := net.SplitHostPort(f.listener.Addr().String())
	return "localhost:" + port
}

func (f *front) add(address, probe string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backends = append(f.backends, backend{address, probe})
}

func (f *front) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.done.Go(func() { f.forward(conn) })
	}
}

// forward a connection to the next replica that is ready, if there is one.
func (f *front) forward(conn net.Conn) {
	release := f.hold(conn)
	defer release()
	to := f.dial()
	if to == nil {
		return
	}
	releaseTo := f.hold(to)
	defer releaseTo()
	f.done.Go(func() { copyUntilClosed(conn, to) })
	copyUntilClosed(to, conn)
}

// dial the next replica that is ready, nil where none is.
func (f *front) dial() net.Conn {
	f.mu.Lock()
	f.next++
	first, backends := f.next, f.backends
	f.mu.Unlock()
	for i := range backends {
		b := backends[(first+i)%len(backends)]
		probe := &http.Client{Timeout: time.Second}
		if getWith(context.Background(), probe, "http://"+b.probe+"/readyz") != nil {
			continue
		}
		if to, err := net.Dial("tcp", b.address); err == nil { //nolint:noctx // It is as long as the connection.
			return to
		}
	}
	return nil
}

// hold a connection, so that it ends with the front.
func (f *front) hold(conn net.Conn) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[conn] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, conn)
		_ = conn.Close() // It may have ended already.
	}
}

func (f *front) close() {
	_ = f.listener.Close() // Nobody is told.
	f.mu.Lock()
	for conn := range f.open {
		_ = conn.Close() // It may have ended already.
	}
	f.mu.Unlock()
	f.done.Wait()
}

// copyUntilClosed by either side, and then close both.
func copyUntilClosed(to, from net.Conn) {
	_, _ = io.Copy(to, from) // That one side has gone is how it ends.
	_ = to.Close()
	_ = from.Close()
}
