package naming

// Where the member's container finds what the manager gives it. OTP reads the
// options file once, at boot, and the files that it names again and again, so the
// paths never change and the contents may.
const (
	// TLSVolume is the volume of a pod that holds its own key and certificate.
	TLSVolume = "erlang-operator-tls"
	// TLSDir holds the member's own key and certificate.
	TLSDir = "/run/erlang-operator/tls"
	// DistributionDir holds the trust bundle and the TLS options.
	DistributionDir = "/run/erlang-operator/distribution"
	// OptionsFile is the argument of -ssl_dist_optfile.
	OptionsFile = DistributionDir + "/" + OptionsKey
)
