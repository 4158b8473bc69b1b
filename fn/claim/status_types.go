package claim

// NotObserved is the default of ObservedGeneration: it is there as soon as anything is, and
// is no object's generation.
const NotObserved = -1

// A Status tells the team, without asking anyone, what is ready, what is not,
// why, and what to do next.
type Status struct {
	// ObservedGeneration is the metadata.generation that all of this status is
	// about, its conditions included. Until it is the object's own, the rest of
	// the status may be about an earlier spec. It is -1 before the first one, and
	// less while the conditions of a generation are on their way to a claim.
	//
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`

	// Connected counts the connections that are ready, of all in the claim,
	// such as 3/4.
	//
	// +optional
	Connected string `json:"connected,omitempty"`

	// The list is atomic, since one writer writes it as a whole. As a map, each of its
	// fields would be in the object's managedFields, and the API server compares those
	// whenever Crossplane applies anything of the object, twice in each reconcile.

	// Services, in the order of the spec.
	//
	// +optional
	// +listType=atomic
	Services []ServiceStatus `json:"services,omitempty"`
}

// A ServiceStatus tells how one service stands.
type ServiceStatus struct {
	// Name of the service.
	Name string `json:"name"`

	// ServiceAccountName that the service's pods run as.
	//
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Workload whose pods get the connections.
	//
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// Delivery says how the pods get the injection: Desired, by an earlier step
	// of the pipeline that renders the workload, or Admission, as each pod is
	// created.
	//
	// +optional
	// +kubebuilder:validation:Enum=Admission;Desired
	Delivery Delivery `json:"delivery,omitempty"`

	// Restart is the command that brings running pods up to date. It is there
	// only while pods may pre-date the injection and nothing replaces them.
	//
	// +optional
	Restart string `json:"restart,omitempty"`

	// Connections of the service, in the order of the spec.
	//
	// +optional
	// +listType=atomic
	Connections []ConnectionStatus `json:"connections,omitempty"`

	// Notes on the service as a whole.
	//
	// +optional
	// +listType=atomic
	Notes []Note `json:"notes,omitempty"`

	// Injection is what each pod of the service gets. The admission policy
	// reads it.
	//
	// +optional
	Injection *Injection `json:"injection,omitempty"`

	// Rollout remembers what the workload looked like when the injection last
	// changed, so that restart can be cleared.
	//
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`
}

// A Delivery is how pods get their injection.
type Delivery string

// The deliveries.
const (
	DeliveryAdmission Delivery = "Admission"
	DeliveryDesired   Delivery = "Desired"
)

// A ConnectionStatus tells how one connection stands.
type ConnectionStatus struct {
	// Type of the connection.
	Type ConnectionType `json:"type"`

	// Name of the connection, absent where it has none.
	//
	// +optional
	Name string `json:"name,omitempty"`

	// Ready means that pods with the injection can use the connection.
	Ready bool `json:"ready"`

	// Reason is one word for the state; docs/reasons.md lists all of them.
	Reason string `json:"reason"`

	// Message is one sentence with the object, the value seen and the next
	// step.
	//
	// +optional
	Message string `json:"message,omitempty"`

	// Identity that the service has through this connection: a role ARN, an
	// Azure identity's resource id, a Google service account, or a volume.
	//
	// +optional
	Identity string `json:"identity,omitempty"`

	// Zone that a disk's volume is in, and pods that mount it must be; several
	// with commas, where it can be used in any of them.
	//
	// +optional
	Zone string `json:"zone,omitempty"`

	// Env are the names of its variables in the injection that the claim gave them.
	//
	// +optional
	Env *Variables `json:"env,omitempty"`

	// Warnings that don't keep the connection from being ready.
	//
	// +optional
	// +listType=atomic
	Warnings []Note `json:"warnings,omitempty"`
}

// ID of the connection in its service.
func (c *ConnectionStatus) ID() ConnectionID { return ConnectionID{Type: c.Type, Name: c.Name} }

// A Note is a reason with its message.
type Note struct {
	// Reason is one word for the note.
	Reason string `json:"reason"`

	// Message is one sentence with the object, the value seen and the next
	// step.
	//
	// +optional
	Message string `json:"message,omitempty"`
}

// A Rollout remembers the workload at the last change of the injection.
type Rollout struct {
	// Injection is the hash of the injection that was published.
	//
	// +optional
	Injection string `json:"injection,omitempty"`

	// Template is the hash of the workload's pod template at that time; unseen
	// where there was no workload, and nothing published before.
	//
	// +optional
	Template string `json:"template,omitempty"`

	// Current is true once no pod can pre-date the injection any more.
	//
	// +optional
	Current bool `json:"current,omitempty"`
}

// An Injection is what each pod of a service gets. It holds no secret. The
// shapes are as narrow as what the function emits, since the admission policy
// applies what stands here.
type Injection struct {
	// Hash over the injection and the annotations of its ServiceAccount. Pods
	// carry it in the annotation serviceconnections.io/injection.
	Hash string `json:"hash"`

	// Complete means that every connection of the service is in the injection.
	//
	// +optional
	Complete bool `json:"complete,omitempty"`

	// ServiceAccountName that the pod runs as.
	ServiceAccountName string `json:"serviceAccountName"`

	// Containers that get env and volumeMounts. Empty means all.
	//
	// +optional
	// +listType=atomic
	Containers []string `json:"containers,omitempty"`

	// Labels of the pod.
	//
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the pod.
	//
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Env of the containers. A variable that a container sets itself stays.
	//
	// +optional
	// +listType=atomic
	Env []EnvVar `json:"env,omitempty"`

	// Volumes of the pod.
	//
	// +optional
	// +listType=atomic
	Volumes []Volume `json:"volumes,omitempty"`

	// VolumeMounts of the containers.
	//
	// +optional
	// +listType=atomic
	VolumeMounts []VolumeMount `json:"volumeMounts,omitempty"`

	// InitContainers that go before the pod's own.
	//
	// +optional
	// +listType=atomic
	InitContainers []Sidecar `json:"initContainers,omitempty"`

	// FSGroup of the pod, where the pod sets none.
	//
	// +optional
	FSGroup *int64 `json:"fsGroup,omitempty"`
}

// An EnvVar is an environment variable with a literal value.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Volume is either a projected service account token or a volume claim.
type Volume struct {
	Name string `json:"name"`

	// +optional
	Projected *ProjectedVolume `json:"projected,omitempty"`

	// +optional
	PersistentVolumeClaim *PersistentVolumeClaimVolume `json:"persistentVolumeClaim,omitempty"`
}

// A ProjectedVolume holds service account tokens.
type ProjectedVolume struct {
	// +listType=atomic
	Sources []ProjectedSource `json:"sources"`
}

// A ProjectedSource is one service account token.
type ProjectedSource struct {
	ServiceAccountToken ServiceAccountToken `json:"serviceAccountToken"`
}

// A ServiceAccountToken is projected by the kubelet.
type ServiceAccountToken struct {
	Audience string `json:"audience"`

	// ExpirationSeconds after which the kubelet has replaced the token.
	ExpirationSeconds int64 `json:"expirationSeconds"`

	Path string `json:"path"`
}

// A PersistentVolumeClaimVolume is a volume claim of the pod's namespace.
type PersistentVolumeClaimVolume struct {
	ClaimName string `json:"claimName"`

	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// A VolumeMount mounts a volume of the injection.
type VolumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`

	// +optional
	SubPath string `json:"subPath,omitempty"`

	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// A Sidecar is an init container that keeps running beside the pod's
// containers (restartPolicy Always).
type Sidecar struct {
	Name  string `json:"name"`
	Image string `json:"image"`

	// +listType=atomic
	Args []string `json:"args"`

	// RestartPolicy is Always.
	//
	// +kubebuilder:validation:Enum=Always
	RestartPolicy string `json:"restartPolicy"`

	// +listType=atomic
	Ports []ContainerPort `json:"ports,omitempty"`

	StartupProbe  Probe `json:"startupProbe"`
	LivenessProbe Probe `json:"livenessProbe"`

	Resources Resources `json:"resources"`

	SecurityContext SecurityContext `json:"securityContext"`
}

// A ContainerPort is a TCP port that a container listens on.
type ContainerPort struct {
	Name          string `json:"name"`
	ContainerPort int32  `json:"containerPort"`

	// Protocol is TCP. Stated, because the API server's default would
	// otherwise make a workload differ from what was applied.
	//
	// +kubebuilder:validation:Enum=TCP
	Protocol string `json:"protocol"`
}

// A Probe asks over HTTP.
type Probe struct {
	HTTPGet HTTPGet `json:"httpGet"`

	// +optional
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// An HTTPGet is the request of a probe.
type HTTPGet struct {
	Path string `json:"path"`
	Port int32  `json:"port"`
}

// Resources are a container's requests and limits, as Kubernetes quantities.
type Resources struct {
	// +optional
	Requests map[string]string `json:"requests,omitempty"`

	// +optional
	Limits map[string]string `json:"limits,omitempty"`
}

// A SecurityContext takes from a container all that it doesn't need.
type SecurityContext struct {
	RunAsNonRoot             bool           `json:"runAsNonRoot"`
	RunAsUser                int64          `json:"runAsUser"`
	ReadOnlyRootFilesystem   bool           `json:"readOnlyRootFilesystem"`
	AllowPrivilegeEscalation bool           `json:"allowPrivilegeEscalation"`
	Capabilities             Capabilities   `json:"capabilities"`
	SeccompProfile           SeccompProfile `json:"seccompProfile"`
}

// Capabilities of a container.
type Capabilities struct {
	// +listType=atomic
	Drop []string `json:"drop"`
}

// A SeccompProfile of a container.
type SeccompProfile struct {
	Type string `json:"type"`
}
