package v1beta1

// Settings describe one cluster: its clouds, and which team may use what.
type Settings struct {
	// Cluster that the function runs in.
	Cluster Cluster `json:"cluster,omitempty"`

	// AWS settings. Without them, awsRole is CloudNotConfigured.
	//
	// +optional
	AWS *AWS `json:"aws,omitempty"`

	// Azure settings. Without them, azureManagedIdentity is CloudNotConfigured.
	//
	// +optional
	Azure *Azure `json:"azure,omitempty"`

	// GCP settings. Without them, cloudSql and gcpServiceAccount are
	// CloudNotConfigured.
	//
	// +optional
	GCP *GCP `json:"gcp,omitempty"`

	// Kubernetes settings, for disks that are created and retained.
	//
	// +optional
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`

	// Workload settings.
	//
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// Disks that claims may use. Absent: a disk is an existing
	// PersistentVolumeClaim of its name in the claim's namespace.
	//
	// +optional
	Disks *[]Disk `json:"disks,omitempty"`
}

// A Cluster is identified by its name.
type Cluster struct {
	// Name of the cluster, unique among those that share cloud accounts.
	Name string `json:"name,omitempty"`
}

// AWS settings.
type AWS struct {
	// AccountID of the cluster, 12 digits.
	AccountID string `json:"accountId,omitempty"`

	// Region of the cluster.
	Region string `json:"region,omitempty"`

	// ClusterName is the EKS cluster's name. Required in mode PodIdentity.
	//
	// +optional
	ClusterName string `json:"clusterName,omitempty"`

	// Partition of the account. Follows from the region.
	//
	// +optional
	Partition string `json:"partition,omitempty"`

	// Mode by which pods get their role.
	//
	// +optional
	// +kubebuilder:validation:Enum=PodIdentity;IRSA
	Mode string `json:"mode,omitempty"`

	// IPFamily of the cluster. The address of the Pod Identity agent follows.
	//
	// +optional
	// +kubebuilder:validation:Enum=IPv4;IPv6
	IPFamily string `json:"ipFamily,omitempty"`

	// OIDCIssuer is the URL of the cluster's OIDC provider. Required in mode
	// IRSA.
	//
	// +optional
	OIDCIssuer string `json:"oidcIssuer,omitempty"`

	// ProviderConfigRef of provider-aws.
	//
	// +optional
	ProviderConfigRef *ProviderConfigReference `json:"providerConfigRef,omitempty"`

	// AllowedRoles says which namespaces may use which roles. Absent: no new
	// grants. Empty: none, and what was granted is withdrawn.
	//
	// +optional
	AllowedRoles *[]RoleRule `json:"allowedRoles,omitempty"`

	// CreateRoles says which namespaces may have roles created, and with what.
	// Absent: no new grants.
	//
	// +optional
	CreateRoles *RoleCreation `json:"createRoles,omitempty"`
}

// A RoleCreation lets namespaces have IAM roles created.
type RoleCreation struct {
	// Namespaces that may have roles created. A * stands for any characters.
	// Empty: none, and roles that were created are withdrawn.
	Namespaces []string `json:"namespaces"`

	// PermissionsBoundaryARN is the managed policy that bounds what any created
	// role can do. Required unless namespaces is empty.
	//
	// +optional
	PermissionsBoundaryARN string `json:"permissionsBoundaryArn,omitempty"`

	// Path of the created roles and policies. Defaults to
	// /serviceconnections/.
	//
	// +optional
	Path string `json:"path,omitempty"`

	// AllowedPolicyARNs are patterns of the managed policies that created roles
	// may have. A * stands for any characters. Absent: no new ones. Empty: none,
	// and those that created roles have are withdrawn.
	//
	// +optional
	AllowedPolicyARNs *[]string `json:"allowedPolicyArns,omitempty"`

	// AllowInlinePolicies says whether claims may bring policy documents of
	// their own. Absent: no new ones. False: none, and those that created roles
	// have are withdrawn.
	//
	// +optional
	AllowInlinePolicies *bool `json:"allowInlinePolicies,omitempty"`
}

// A RoleRule lets namespaces use roles.
type RoleRule struct {
	// Pattern of role names in the cluster's account, or of full role ARNs. A *
	// stands for any characters.
	//
	// +kubebuilder:validation:MinLength=1
	Pattern string `json:"pattern"`

	// Namespaces that the rule is for. A * stands for any characters.
	//
	// +kubebuilder:validation:MinItems=1
	Namespaces []string `json:"namespaces"`
}

// Azure settings.
type Azure struct {
	// SubscriptionID of the cluster.
	SubscriptionID string `json:"subscriptionId,omitempty"`

	// TenantID of the subscription.
	TenantID string `json:"tenantId,omitempty"`

	// OIDCIssuer is the URL of the cluster's OIDC issuer, verbatim, with its
	// trailing slash if it has one.
	OIDCIssuer string `json:"oidcIssuer,omitempty"`

	// Environment is the Azure cloud. The token audience follows.
	//
	// +optional
	// +kubebuilder:validation:Enum=AzurePublicCloud;AzureUSGovernment;AzureChinaCloud
	Environment string `json:"environment,omitempty"`

	// ProviderConfigRef of provider-azure, whose subscriptionID is the cluster's:
	// provider-azure writes to that one, whatever an identity's id says.
	//
	// +optional
	ProviderConfigRef *ProviderConfigReference `json:"providerConfigRef,omitempty"`

	// Subscriptions beside the cluster's whose identities may be used, as far as
	// allowedIdentities lets. Identities of others are refused.
	//
	// +optional
	Subscriptions []Subscription `json:"subscriptions,omitempty"`

	// AllowedIdentities says which namespaces may use which identities. Absent:
	// no new grants. Empty: none, and what was granted is withdrawn.
	//
	// +optional
	AllowedIdentities *[]IdentityRule `json:"allowedIdentities,omitempty"`
}

// A Subscription of Azure beside the cluster's.
type Subscription struct {
	// SubscriptionID of the identities.
	SubscriptionID string `json:"subscriptionId"`

	// ProviderConfigRef of provider-azure, whose subscriptionID is this one.
	ProviderConfigRef *ProviderConfigReference `json:"providerConfigRef"`
}

// An IdentityRule lets namespaces use Azure managed identities.
type IdentityRule struct {
	// SubscriptionID of the identities. Defaults to the cluster's.
	//
	// +optional
	SubscriptionID string `json:"subscriptionId,omitempty"`

	// ResourceGroup pattern of the identities.
	//
	// +kubebuilder:validation:MinLength=1
	ResourceGroup string `json:"resourceGroup"`

	// Identity name pattern.
	//
	// +kubebuilder:validation:MinLength=1
	Identity string `json:"identity"`

	// Namespaces that the rule is for.
	//
	// +kubebuilder:validation:MinItems=1
	Namespaces []string `json:"namespaces"`
}

// GCP settings.
type GCP struct {
	// ProjectID of the cluster.
	ProjectID string `json:"projectId,omitempty"`

	// WorkloadPool of the cluster. Defaults to <projectId>.svc.id.goog.
	//
	// +optional
	WorkloadPool string `json:"workloadPool,omitempty"`

	// SharedWorkloadPool is true where several clusters use the pool. Bindings
	// are then never deleted, only reported.
	//
	// +optional
	SharedWorkloadPool bool `json:"sharedWorkloadPool,omitempty"`

	// ProviderConfigRef of provider-gcp.
	//
	// +optional
	ProviderConfigRef *ProviderConfigReference `json:"providerConfigRef,omitempty"`

	// Proxy is the Cloud SQL Auth Proxy.
	//
	// +optional
	Proxy *Proxy `json:"proxy,omitempty"`

	// ServiceAccounts that claims may use. Absent: no new grants. Empty: none,
	// and what was granted is withdrawn.
	//
	// +optional
	ServiceAccounts *[]GoogleServiceAccount `json:"serviceAccounts,omitempty"`
}

// A Proxy is the Cloud SQL Auth Proxy that runs beside a service.
type Proxy struct {
	// Image of the proxy. Defaults to a pinned release.
	//
	// +optional
	Image string `json:"image,omitempty"`

	// Resources of the proxy's container.
	//
	// +optional
	Resources *ProxyResources `json:"resources,omitempty"`
}

// ProxyResources are Kubernetes quantities by resource name.
type ProxyResources struct {
	// +optional
	Requests map[string]string `json:"requests,omitempty"`

	// +optional
	Limits map[string]string `json:"limits,omitempty"`
}

// A GoogleServiceAccount may be used by the namespaces that are named.
type GoogleServiceAccount struct {
	// Name is the account's id in the cluster's project, or its e-mail.
	//
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Namespaces that may use the account.
	//
	// +kubebuilder:validation:MinItems=1
	Namespaces []string `json:"namespaces"`
}

// Kubernetes settings.
type Kubernetes struct {
	// ProviderConfigRef of provider-kubernetes.
	//
	// +optional
	ProviderConfigRef *ProviderConfigReference `json:"providerConfigRef,omitempty"`
}

// Workload settings.
type Workload struct {
	// Inspect reads the workloads that claims name, which costs Crossplane a
	// cache of their kinds. Defaults to true.
	//
	// +optional
	Inspect *bool `json:"inspect,omitempty"`
}

// A Disk is a volume claim that teams may mount.
type Disk struct {
	// Name of the PersistentVolumeClaim.
	//
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Namespaces that may use the disk, each its own volume claim.
	//
	// +kubebuilder:validation:MinItems=1
	Namespaces []string `json:"namespaces"`

	// Create the volume claim where it doesn't exist. Absent: it is only
	// referenced.
	//
	// +optional
	Create *DiskCreation `json:"create,omitempty"`

	// DeletionPolicy of a created volume claim when its connection leaves.
	// Defaults to Retain.
	//
	// +optional
	// +kubebuilder:validation:Enum=Retain;Delete
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

// A DiskCreation says what volume claim to create.
type DiskCreation struct {
	// StorageClassName of the volume claim. Defaults to the cluster's default
	// class.
	//
	// +optional
	StorageClassName string `json:"storageClassName,omitempty"`

	// Size of the volume claim, a Kubernetes quantity.
	Size string `json:"size"`

	// AccessModes of the volume claim. Defaults to ReadWriteOnce.
	//
	// +optional
	AccessModes []string `json:"accessModes,omitempty"`
}

// A ProviderConfigReference names the credentials of a provider. A namespaced
// ProviderConfig, which a team could own, is refused.
type ProviderConfigReference struct {
	// Kind is ClusterProviderConfig.
	//
	// +optional
	// +kubebuilder:validation:Enum=ClusterProviderConfig
	Kind string `json:"kind,omitempty"`

	// Name of the provider configuration.
	//
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}
