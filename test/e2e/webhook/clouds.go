package webhook

import (
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func config(certificate, key []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificate of a webhook: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

// EKS is Amazon EKS's webhook, for pods of ServiceAccounts with an association of EKS
// Pod Identity, in a region (EKS user guide, "Understand how EKS Pod Identity works";
// amazon-eks-pod-identity-webhook, pkg/handler).
func EKS(region string) Webhook {
	const volume, mount = "eks-pod-identity-token", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
	return Webhook{Name: "eks", Mutate: func(pod *corev1.Pod, _ *corev1.ServiceAccount) {
		eachContainer(pod, skipped(pod, "eks.amazonaws.com/skip-containers", ","), func(c *corev1.Container) {
			addEnvironment(c,
				corev1.EnvVar{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"},
				corev1.EnvVar{Name: "AWS_DEFAULT_REGION", Value: region},
				corev1.EnvVar{Name: "AWS_REGION", Value: region},
				corev1.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
				corev1.EnvVar{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: mount + "/eks-pod-identity-token"},
			)
			addMount(c, volume, mount)
		})
		addToken(pod, volume, "pods.eks.amazonaws.com", "eks-pod-identity-token", 86400)
	}}
}

// Azure is AKS's webhook of Microsoft Entra Workload ID, for pods with its label in a
// cluster of a tenant (azure-workload-identity v1.5, pkg/webhook).
func Azure(tenant string) Webhook {
	const volume, mount = "azure-identity-token", "/var/run/secrets/azure/tokens"
	return Webhook{
		Name: "azure",
		Pods: &metav1.LabelSelector{MatchLabels: map[string]string{"azure.workload.identity/use": "true"}},
		Mutate: func(pod *corev1.Pod, sa *corev1.ServiceAccount) {
			of, ok := sa.Annotations["azure.workload.identity/tenant-id"]
			if !ok {
				of = tenant
			}
			eachContainer(pod, skipped(pod, "azure.workload.identity/skip-containers", ";"), func(c *corev1.Container) {
				addEnvironment(c,
					corev1.EnvVar{Name: "AZURE_CLIENT_ID", Value: sa.Annotations["azure.workload.identity/client-id"]},
					corev1.EnvVar{Name: "AZURE_TENANT_ID", Value: of},
					corev1.EnvVar{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: mount + "/azure-identity-token"},
					corev1.EnvVar{Name: "AZURE_AUTHORITY_HOST", Value: "https://login.microsoftonline.com/"},
				)
				addMount(c, volume, mount)
			})
			addToken(pod, volume, "api://AzureADTokenExchange", "azure-identity-token", 3600)
		},
	}
}
