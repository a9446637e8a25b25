package v1alpha1

// TLSSpec configures the certificates by which the nodes authenticate each other.
//
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) || duration(self.certificate.duration) + duration(self.certificate.duration) <= duration(self.ca.duration)",message="tls.ca.duration must be at least twice tls.certificate.duration: a certificate cannot outlive its CA, and there must be time to replace the CA"
// +kubebuilder:validation:XValidation:rule="!(has(self.issuerRef) && has(self.ca.rotationID))",message="tls.ca.rotationID is for the private CA. With tls.issuerRef, name another issuer to change the CA, and remove tls.ca.rotationID"
type TLSSpec struct {
	// issuerRef names the cert-manager issuer that signs the certificates of the
	// nodes. Default: a private CA for this cluster, made with cert-manager. OTP
	// verifies the chain of a connecting node but not its name, so whoever holds a
	// certificate of this issuer, and the cookie, can join: prefer the default, or an
	// issuer that serves only this cluster. When it changes, the nodes switch to the
	// new issuer's certificates without a restart.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`

	// certificate is the lifetime of each node's certificate.
	// +optional
	// +default={"duration":"720h"}
	Certificate CertificateLifetime `json:"certificate,omitempty"`

	// ca configures the lifetime and the rotation of the private CA. Ignored with
	// issuerRef.
	// +optional
	// +default={"duration":"87600h"}
	CA CASpec `json:"ca,omitempty"`

	// delivery is how a node gets its key and certificate. With Secret, cert-manager
	// generates the key, and the pod mounts a Secret of its own. With PodCertificate, the
	// kubelet generates the key, which never leaves the machine, and the operator signs
	// the certificate with an intermediate CA that the issuer has signed; this needs
	// Kubernetes 1.37 or later, and an issuer that signs CA certificates. A certificate
	// then lives for certificate.duration, at most 91 days, and the kubelet renews it
	// after two thirds of that, whatever the value of certificate.renewBefore. Changing
	// delivery restarts the nodes, one at a time.
	// +optional
	// +kubebuilder:default=Secret
	Delivery CertificateDelivery `json:"delivery,omitempty"`
}

// CertificateDelivery is the way in which a node gets its key and certificate.
//
// +kubebuilder:validation:Enum=Secret;PodCertificate
type CertificateDelivery string

const (
	// DeliverySecret mounts a Secret that cert-manager fills.
	DeliverySecret CertificateDelivery = "Secret"
	// DeliveryPodCertificate lets the kubelet request a certificate from the operator's
	// signer.
	DeliveryPodCertificate CertificateDelivery = "PodCertificate"
)

// IssuerReference names a cert-manager issuer.
//
// +kubebuilder:validation:XValidation:rule="self.group != 'cert-manager.io' || self.kind in ['Issuer', 'ClusterIssuer']",message="tls.issuerRef.kind must be Issuer or ClusterIssuer in the group cert-manager.io; an external issuer has a group of its own: set tls.issuerRef.group"
type IssuerReference struct {
	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// kind of the issuer: Issuer (in the cluster's namespace), ClusterIssuer, or the
	// kind of an external issuer.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// group of the issuer.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// CertificateLifetime configures how long a node's certificate lives, and when it is
// renewed.
//
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || duration(self.duration) - duration(self.renewBefore) >= duration('5m')",message="tls.certificate.renewBefore must be at least 5m shorter than tls.certificate.duration"
// +kubebuilder:validation:XValidation:rule="duration(self.duration) >= duration('1h') && (!has(self.renewBefore) || duration(self.renewBefore) >= duration('5m'))",message="tls.certificate.duration must be at least 1h and renewBefore at least 5m (limits of cert-manager)"
type CertificateLifetime struct {
	// duration from issue to expiry, as hours, minutes and seconds ("720h").
	// +optional
	// +kubebuilder:default="720h"
	Duration Duration `json:"duration,omitempty"`

	// renewBefore is how long before expiry a new certificate is issued. Default: a third
	// of duration.
	// +optional
	RenewBefore Duration `json:"renewBefore,omitempty"`
}

// CASpec configures the lifetime and the rotation of the private CA.
//
// +kubebuilder:validation:XValidation:rule="duration(self.duration) >= duration('1h')",message="tls.ca.duration must be at least 1h (limit of cert-manager)"
type CASpec struct {
	// duration from issue to expiry, as hours, minutes and seconds ("87600h"): at least
	// twice certificate.duration. A new CA replaces it, as after a change of rotationID,
	// when a third of this time is left, or certificate.duration if that is longer (with
	// delivery PodCertificate, three times certificate.duration).
	// +optional
	// +kubebuilder:default="87600h"
	Duration Duration `json:"duration,omitempty"`

	// rotationID starts a rotation of the private CA whenever it changes: a new CA is
	// created, and the nodes switch to it step by step, without a restart and without
	// losing a link. The value itself has no meaning; a date is a good choice.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]+$`
	RotationID string `json:"rotationID,omitempty"`
}

// Duration is a length of time in hours, minutes and seconds, such as 720h or 1h30m.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=20
// +kubebuilder:validation:Pattern=`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
type Duration string
