package status

import "regexp"

// knownEnds are what a BEAM says when it cannot start, or the kubelet when it cannot start
// the command, and what to do about it. CONTAINER is the name of the container.
var knownEnds = []struct {
	says   *regexp.Regexp
	remedy string
}{
	{regexp.MustCompile(`Protocol 'inet6?_tls': not supported`),
		"The release lacks the application ssl: add :ssl to extra_applications in mix.exs, or ssl to the applications of the release in rebar.config."},
	{regexp.MustCompile(`bad_ssl_dist_optfile,\[\[[^]]*\](,\[[^]]*\])+\]`),
		"-ssl_dist_optfile is given more than once: remove it from vm.args, env.sh, the variables and the command of the image."},
	{regexp.MustCompile(`bad_ssl_dist_optfile,\[[^]]*\]`),
		"The file of -ssl_dist_optfile cannot be read: remove the flag from the image, so that the operator's file is used."},
	{regexp.MustCompile(`the name \S+ seems to be in use by another Erlang node|\S+@\S+ runs already`),
		"Another BEAM of the pod has taken the name of the node, or another program its port: a probe, a hook or a start script that starts a BEAM with the flags of the node. Run it through /run/erlang-operator/bin/visitor."},
	{regexp.MustCompile(`register/listen error: eaddrinuse`),
		"Another program of the pod listens on the port of the distribution, or another BEAM runs with the flags of the node: end it, or change distribution.ports."},
	{regexp.MustCompile(`Cookie file \S+ must be accessible by owner only`),
		"The BEAM reads a cookie file of the image, so it does not read the operator's flags in ERL_ZFLAGS: remove the file, and what unsets or replaces ERL_ZFLAGS."},
	{regexp.MustCompile(`exec:? "?/run/erlang-operator/bin/\S+:.*no such file or directory`),
		"The image has no /bin/sh, which the operator's start program needs: set spec.runtime to Custom and give the BEAM -name $$(ERLANG_NODE) in the command, or use an image with a shell."},
	{regexp.MustCompile(`exec: "[^"]*": (executable file not found in \$PATH|stat \S+: no such file or directory)`),
		"The image has no such program: correct command of template.spec.containers[CONTAINER]."},
	{regexp.MustCompile(`(?m)^.*(exec|sh).*: not found$`),
		"The image has no such program: correct command of template.spec.containers[CONTAINER]."},
}
