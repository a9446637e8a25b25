package naming

// PodUIDVariable is the environment variable in which a node has the UID of its pod.
const PodUIDVariable = "ERLANG_OPERATOR_POD_UID"

// SocketBufferVariable is the environment variable in which a node finds
// spec.distribution.socket.buffer, in bytes, where the spec has one.
const SocketBufferVariable = "ERLANG_OPERATOR_SOCKET_BUFFER"

// Paths in the container of the BEAM. OTP reads the options file once, at boot, and the
// files named in it repeatedly, so the paths never change and the contents may.
const (
	// TLSVolume is the volume of a pod that holds its own key and certificate.
	TLSVolume = "erlang-operator-tls"
	// TLSDir is the directory of the node's key and certificate.
	TLSDir = "/run/erlang-operator/tls"
	// DistributionDir is the directory of the trust bundle and the TLS options.
	DistributionDir = "/run/erlang-operator/distribution"
	// OptionsFile is the path of the -ssl_dist_optfile.
	OptionsFile = DistributionDir + "/" + OptionsKey
	// RemoteArgsFile is the path of the flags for commands of an Elixir release.
	RemoteArgsFile = DistributionDir + "/" + RemoteArgsKey
	// RelxArgsFile is the path of the vm.args for commands of a release of relx.
	RelxArgsFile = DistributionDir + "/" + RelxArgsKey
	// CookieDir is the directory of the cookie.
	CookieDir = "/run/erlang-operator/cookie"
	// CookieFile is the path of the cookie. Each BEAM reads it when it starts.
	CookieFile = CookieDir + "/" + CookieKey
	// ProgramsDir is the directory of the programs that start a BEAM in a pod.
	ProgramsDir = "/run/erlang-operator/bin"
)
