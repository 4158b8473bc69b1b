package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A volume of a pod.
type volume struct {
	folder string

	// disk is what the kernel mounts, read-only where nobody may write to it.
	disk, readOnly bool
}

// volumes of a pod by name. Those that hold nothing to log in with, such as the API
// server's certificate, are left out.
func (n *Node) volumes(ctx context.Context, pod *corev1.Pod, dir string) (map[string]volume, error) {
	volumes, of := map[string]volume{}, map[string]string{}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		own := volume{folder: filepath.Join(dir, "volumes", v.Name)}
		switch {
		case v.Projected != nil:
			if err := n.project(ctx, pod, v.Projected, own.folder); err != nil {
				return nil, fmt.Errorf("volume %s: %w", v.Name, err)
			}
			volumes[v.Name] = own
		case v.PersistentVolumeClaim != nil:
			// A kubelet before Kubernetes 1.35 waits for the second one for ever.
			claim := v.PersistentVolumeClaim.ClaimName
			if other, ok := of[claim]; ok {
				return nil, fmt.Errorf("volume %s: PersistentVolumeClaim %q is in volume %s, too, and the pod would never start", v.Name, claim, other)
			}
			of[claim] = v.Name
			// All pods of the node see what one has written.
			own.folder = filepath.Join(n.Dir, "claims", pod.Namespace, claim)
			own.disk, own.readOnly = true, v.PersistentVolumeClaim.ReadOnly
			if err := own.make(fsGroup(pod)); err != nil {
				return nil, fmt.Errorf("volume %s: %w", v.Name, err)
			}
			volumes[v.Name] = own
		case v.EmptyDir != nil:
			volumes[v.Name] = own
		}
	}
	return volumes, nil
}

// project the tokens of a volume into its folder.
func (n *Node) project(ctx context.Context, pod *corev1.Pod, v *corev1.ProjectedVolumeSource, folder string) error {
	for _, s := range v.Sources {
		if s.ServiceAccountToken == nil {
			continue
		}
		token, err := n.request(ctx, pod, s.ServiceAccountToken)
		if err != nil {
			return err
		}
		file := filepath.Join(folder, s.ServiceAccountToken.Path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(token), 0o600)); err != nil {
			return fmt.Errorf("cannot write token: %w", err)
		}
	}
	return nil
}

// Token of a pod's ServiceAccount for an audience, as what runs on the node for the
// clouds requests it, such as GKE's metadata server.
func (n *Node) Token(ctx context.Context, pod *corev1.Pod, audience string) (string, error) {
	return n.request(ctx, pod, &corev1.ServiceAccountTokenProjection{Audience: audience})
}

// request a token as a kubelet does: for the pod's ServiceAccount, bound to the pod, of
// the projection's audience and lifetime (TokenRequest API).
func (n *Node) request(ctx context.Context, pod *corev1.Pod, p *corev1.ServiceAccountTokenProjection) (string, error) {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.ServiceAccountName, Namespace: pod.Namespace}}
	r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: p.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if p.Audience != "" {
		r.Spec.Audiences = []string{p.Audience}
	}
	if err := n.Client.SubResource("token").Create(ctx, sa, r); err != nil {
		return "", fmt.Errorf("cannot request token of ServiceAccount %s: %w", sa.Name, err)
	}
	return r.Status.Token, nil
}
