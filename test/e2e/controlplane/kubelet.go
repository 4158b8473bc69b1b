package controlplane

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// runtimeContainer is what Crossplane's package manager calls a package's
// container.
const runtimeContainer = "package-runtime"

// A kubelet runs the pods of functions that Crossplane's package manager has
// installed: it pulls their image, takes the entrypoint out of it and runs that
// as a process, with the arguments, environment and secrets that the pod says. It
// isolates nothing. As all share the machine's ports, it adds flags that choose
// free ones.
type kubelet struct {
	*ControlPlane

	proxy  *http.Server
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	pods map[types.UID]*functionPod
	next int
}

// A functionPod that runs.
type functionPod struct {
	*process

	// address of the function, and of its metrics and readiness.
	address, metrics string
	ready            bool
}

// startKubelet also starts the proxy by which Crossplane reaches Services, and
// sets its address.
func (c *ControlPlane) startKubelet(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot listen for connections to Services: %w", err)
	}
	// The kubelet outlives the call, up to Stop.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &kubelet{ControlPlane: c, cancel: cancel, done: make(chan struct{}), pods: map[types.UID]*functionPod{}}
	k.proxy = &http.Server{Handler: k, ReadHeaderTimeout: time.Minute}
	go k.proxy.Serve(listener) //nolint:errcheck // It ends with Stop.
	go k.run(ctx)
	c.kubelet, c.proxy = k, listener.Addr().String()
	return nil
}

func (k *kubelet) stop() {
	if k == nil {
		return
	}
	k.cancel()
	<-k.done
	_ = k.proxy.Close() // Nothing is lost.
	for _, p := range k.pods {
		p.stop()
	}
}

// run pods until the context is done.
func (k *kubelet) run(ctx context.Context) {
	defer close(k.done)
	for ctx.Err() == nil {
		// What fails is tried again: the pod isn't ready before.
		if err := k.sync(ctx); err != nil && ctx.Err() == nil {
			k.logf("%v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

// logf writes to the kubelet's log.
func (k *kubelet) logf(format string, a ...any) {
	f, err := os.OpenFile(k.path("kubelet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()                          //nolint:errcheck // A log.
	_, _ = fmt.Fprintf(f, format+"\n", a...) // A log.
}

// sync what runs with the pods that there are.
func (k *kubelet) sync(ctx context.Context) error {
	pods := &corev1.PodList{}
	if err := k.Client.List(ctx, pods, client.InNamespace(Namespace)); err != nil {
		return fmt.Errorf("cannot list pods: %w", err)
	}
	var errs []error
	there := map[types.UID]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		there[pod.UID] = true
		if pod.DeletionTimestamp == nil {
			errs = append(errs, k.syncPod(ctx, pod))
		}
	}
	for uid, p := range k.pods {
		// What has ended is started anew, as long as its pod is there.
		if !there[uid] || p.ended() {
			k.mu.Lock()
			delete(k.pods, uid)
			k.mu.Unlock()
			p.stop()
		}
	}
	return errors.Join(errs...)
}

// syncPod starts it, and says when it is ready.
func (k *kubelet) syncPod(ctx context.Context, pod *corev1.Pod) error {
	p, ok := k.pods[pod.UID]
	if !ok {
		var err error
		if p, err = k.startPod(ctx, pod); err != nil {
			return fmt.Errorf("cannot start pod %q: %w", pod.Name, err)
		}
		k.mu.Lock()
		k.pods[pod.UID] = p
		k.mu.Unlock()
	}
	if p.ready {
		return nil
	}
	probe := pod.Spec.Containers[0].ReadinessProbe
	if probe == nil || probe.HTTPGet == nil {
		return fmt.Errorf("pod %q has no readiness probe", pod.Name)
	}
	if err := get(ctx, "http://"+p.metrics+probe.HTTPGet.Path); err != nil {
		return fmt.Errorf("pod %q is not ready: %w", pod.Name, err)
	}
	now := pod.CreationTimestamp
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: runtimeContainer, Ready: true, Image: pod.Spec.Containers[0].Image}}
	if err := k.Client.Status().Update(ctx, pod); err != nil {
		return fmt.Errorf("cannot update status of pod %q: %w", pod.Name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p.ready = true
	return nil
}

// startPod of a function.
func (k *kubelet) startPod(ctx context.Context, pod *corev1.Pod) (*functionPod, error) {
	container := pod.Spec.Containers[0]
	if container.Name != runtimeContainer {
		return nil, fmt.Errorf("container %q is not a package's", container.Name)
	}
	dir := k.path(pod.Name)
	binary, config, err := pull(ctx, container.Image, dir)
	if err != nil {
		return nil, err
	}
	env := config.Env
	for _, e := range container.Env {
		value := e.Value
		for _, m := range container.VolumeMounts {
			if m.MountPath == value {
				if value, err = k.mount(ctx, pod, m.Name, dir); err != nil {
					return nil, err
				}
			}
		}
		env = append(env, e.Name+"="+value)
	}
	free, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	p := &functionPod{address: fmt.Sprintf("127.0.0.1:%d", free[0]), metrics: fmt.Sprintf("127.0.0.1:%d", free[1])}
	args := slices.Concat(config.Entrypoint[1:], container.Args, []string{"--address=" + p.address, "--metrics-address=" + p.metrics})
	p.process, err = start(k.Dir, program{name: pod.Name, path: binary, args: args, env: env})
	return p, err
}

// mount the secret of a pod's volume as a folder.
func (k *kubelet) mount(ctx context.Context, pod *corev1.Pod, volume, dir string) (string, error) {
	for _, v := range pod.Spec.Volumes {
		if v.Name != volume || v.Secret == nil {
			continue
		}
		secret := &corev1.Secret{}
		if err := k.Client.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: v.Secret.SecretName}, secret); err != nil {
			return "", fmt.Errorf("cannot get secret of volume %q: %w", volume, err)
		}
		mounted := filepath.Join(dir, volume)
		return mounted, writeSecret(mounted, secret)
	}
	return "", fmt.Errorf("there is no secret for volume %q", volume)
}

// pull an image, and write its entrypoint to a folder.
func pull(ctx context.Context, image, dir string) (binary string, config v1.Config, err error) {
	ref, err := name.ParseReference(image, name.StrictValidation)
	if err != nil {
		return "", config, fmt.Errorf("cannot parse image: %w", err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}))
	if err != nil {
		return "", config, fmt.Errorf("cannot pull image %s: %w", image, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return "", config, fmt.Errorf("cannot read configuration of image %s: %w", image, err)
	}
	if len(file.Config.Entrypoint) == 0 {
		return "", config, fmt.Errorf("image %s has no entrypoint", image)
	}
	content := mutate.Extract(img)
	defer content.Close() //nolint:errcheck // It was read.
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if err != nil {
			return "", config, fmt.Errorf("cannot find %s in image %s: %w", file.Config.Entrypoint[0], image, err)
		}
		if path.Clean("/"+header.Name) != file.Config.Entrypoint[0] {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", config, fmt.Errorf("cannot make folder of pod: %w", err)
		}
		binary = filepath.Join(dir, "entrypoint")
		return binary, file.Config, extract(binary, r, header.FileInfo().Mode())
	}
}

// extract a file of an image, with its mode there.
func extract(to string, from io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm()|0o200)
	if err != nil {
		return fmt.Errorf("cannot create file: %w", err)
	}
	if _, err := io.Copy(f, from); err != nil {
		return errors.Join(fmt.Errorf("cannot write file: %w", err), f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot close file: %w", err)
	}
	return nil
}

// ServeHTTP as the proxy that HTTPS_PROXY names to Crossplane. What connects to a
// Service, by its name in the cluster's DNS, reaches one of the pods that are
// ready: there is no DNS here, and no network of pods.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || !strings.HasSuffix(r.Host, "."+Namespace+":9443") {
		http.Error(w, "no such Service", http.StatusBadGateway)
		return
	}
	address, ok := k.endpoint()
	if !ok {
		http.Error(w, "no pod is ready", http.StatusServiceUnavailable)
		return
	}
	pod, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	crossplane, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, err = io.WriteString(crossplane, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
	if err != nil {
		k.logf("cannot connect Crossplane: %v", err)
		_ = pod.Close() // It was not used.
		return
	}
	go func() {
		_, _ = io.Copy(pod, crossplane) // Either end may hang up.
		_ = pod.Close()
	}()
	_, _ = io.Copy(crossplane, pod)
	_ = crossplane.Close()
}

// endpoint is the address of a pod that is ready, of each in turn.
func (k *kubelet) endpoint() (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var ready []string
	for _, p := range k.pods {
		if p.ready {
			ready = append(ready, p.address)
		}
	}
	if len(ready) == 0 {
		return "", false
	}
	k.next++
	return ready[k.next%len(ready)], true
}
