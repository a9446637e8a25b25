package beam

import (
	"cmp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// What a container gives to erl, elixir, iex or a release is found, and nothing else.
func TestFlagsOfCommands(t *testing.T) {
	for name, test := range map[string]struct {
		container string
		flags     []string // with their fields
	}{
		"nothing":               {`{}`, nil},
		"an image's own start":  {`{args: [start]}`, nil},
		"erl":                   {`{command: [erl, -name, chat]}`, []string{"command -name"}},
		"erl by its path":       {`{command: [/usr/local/bin/erl, -sname, chat]}`, []string{"command -sname"}},
		"erl as an argument":    {`{args: [erl, -setcookie, x]}`, []string{"args -setcookie"}},
		"erl and arguments":     {`{command: [erl, -noshell], args: [-proto_dist, inet_tcp]}`, []string{"args -proto_dist"}},
		"arguments of an image": {`{args: [-noshell, -name, chat, -sname, chat]}`, []string{"args -sname"}},
		"after -extra":          {`{command: [erl, -s, chat, -extra, -name, x]}`, nil},
		"an expression":         {`{command: [erl, -eval, "io:format(\"-name -setcookie\")"]}`, nil},
		"kernel's parameters":   {`{command: [erl, -kernel, inet_dist_listen_min, "9000", inet_dist_listen_max, "9001"]}`, []string{"command inet_dist_listen_min", "command inet_dist_listen_max"}},

		"elixir":                    {`{command: [elixir, --name, chat@host, --cookie, x, chat.exs]}`, []string{"command --name", "command --cookie"}},
		"elixir's flags for erl":    {`{command: [elixir, --erl, "+P 1000 -proto_dist inet_tcp", chat.exs]}`, []string{"command -proto_dist"}},
		"iex":                       {`{command: [iex, --sname, chat, -S, mix]}`, []string{"command --sname"}},
		"of a script of elixir":     {`{command: [elixir, --no-halt, chat.exs, --name, x, --cookie, y]}`, nil},
		"of a task of mix":          {`{command: [elixir, --no-halt, -S, mix, chat.run, --name, x]}`, nil},
		"a hidden node":             {`{command: [elixir, --hidden, -S, mix, chat.run]}`, []string{"command --hidden"}},
		"a hidden node of erl":      {`{command: [erl, -hidden]}`, []string{"command -hidden"}},
		"of an expression":          {`{command: [elixir, -e, "--name", --no-halt]}`, nil},
		"erl's flags, to elixir":    {`{command: [elixir, -pa, -name, chat.exs]}`, nil},
		"elixir's flags, to erl":    {`{command: [erl, --name, x]}`, nil},
		"a release of relx":         {`{command: [/app/bin/chat, foreground, -setcookie, x]}`, []string{"command -setcookie"}},
		"a release of mix":          {`{command: [/app/bin/chat, start]}`, nil},
		"another program":           {`{command: [/app/run, -name, x, --cookie, y, -setcookie]}`, nil},
		"a directory called erl":    {`{command: [ls, /usr/lib/erl, -name]}`, nil},
		"behind an init":            {`{command: [tini, -g, --, erl, -name, x]}`, []string{"command -name"}},
		"a release behind an init":  {`{command: [/sbin/tini, --], args: [/app/bin/chat, foreground, -sname, x]}`, []string{"args -sname"}},
		"behind another user":       {`{command: [gosu, app, elixir, --sname, x]}`, []string{"command --sname"}},
		"behind env":                {`{command: [env, -u, HOME, A=b, erl, -name, x]}`, []string{"command -name"}},
		"another program, launched": {`{command: [timeout, "5", find, /, -name, x]}`, nil},

		"in a shell":                     {`{command: [sh, -c, "exec erl -noshell -setcookie oops"]}`, []string{"command -setcookie"}},
		"in a shell with options":        {`{command: [/bin/bash, -eo, pipefail, -c, "erl -name x | tee log"]}`, []string{"command -name"}},
		"in a script in the arguments":   {`{command: [sh, -c], args: ["cd /app && elixir --cookie x run.exs"]}`, []string{"args --cookie"}},
		"find, in a shell":               {`{command: [sh, -c, "find / -name x; curl --cookie y http://x; exec /app/bin/chat start"]}`, nil},
		"find, and erl beside":           {`{command: [sh, -c, "find / -name x && erl -noshell"]}`, nil},
		"in quotes":                      {`{command: [sh, -c, "erl \"-name\" 'x'"]}`, []string{"command -name"}},
		"a word in quotes":               {`{command: [sh, -c, "erl -eval 'halt(). % -name x'"]}`, nil},
		"a comment":                      {`{command: [sh, -c, "erl -noshell # -name x"]}`, nil},
		"text":                           {`{command: [sh, -c, "echo erl -name x; erl"]}`, nil},
		"over two lines":                 {"{command: [sh, -c, \"erl -noshell \\\\\\n  -name x\"]}", []string{"command -name"}},
		"in a branch":                    {`{command: [sh, -c, "if true; then A=b erl -sname x; fi"]}`, []string{"command -sname"}},
		"a shell in a shell":             {`{command: [sh, -c, "exec sh -c 'exec erl -name x'"]}`, []string{"command -name"}},
		"what a shell is given":          {`{command: [sh, -c, "exec \"$@\"", sh], args: [erl, -name, x]}`, []string{"args -name"}},
		"what a shell is given, unused":  {`{command: [sh, -c, "exec erl -noshell"], args: [-proto_dist, inet_tcp]}`, nil},
		"the node's own name, unused":    {`{command: [sh, -c, "erl -name $(ERLANG_NODE)"]}`, []string{"command -name"}},
		"what is no script of a shell's": {`{command: [sh, -c, "erl -name 'x"]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var flags []string
			for _, problem := range problemsOf(t, "", test.container) {
				field, rest, _ := strings.Cut(strings.TrimPrefix(problem, "template.spec.containers[chat]."), " has the flag ")
				flag, _, _ := strings.Cut(rest, ",")
				flags = append(flags, field+" "+flag)
			}
			if diff := gocmp.Diff(test.flags, flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflictingVariables(t *testing.T) {
	for name, test := range map[string]struct {
		runtime v1alpha1.Runtime // default Erl
		env     string
		says    string // empty when nothing is refused
	}{
		"one of ours":                      {env: `[{name: ERLANG_NODE, value: x}]`, says: "env[ERLANG_NODE] is set by the operator"},
		"flags of erl":                     {env: `[{name: ERL_FLAGS, value: "+P 5000 -sname chat"}]`, says: "env[ERL_FLAGS] has the flag -sname"},
		"flags of one release":             {env: `[{name: ERL_OTP27_FLAGS, value: "-name chat"}]`, says: "env[ERL_OTP27_FLAGS] has the flag -name"},
		"flags of elixir's erl":            {env: `[{name: ELIXIR_ERL_OPTIONS, value: "-setcookie x"}]`, says: "env[ELIXIR_ERL_OPTIONS] has the flag -setcookie"},
		"good flags":                       {env: `[{name: ERL_FLAGS, value: "-kernel shell_history enabled"}, {name: FLAGS, value: "-name x"}]`},
		"flags from elsewhere":             {env: `[{name: ERL_FLAGS, valueFrom: {configMapKeyRef: {name: a, key: b}}}]`},
		"our flags from elsewhere":         {env: `[{name: ERL_ZFLAGS, valueFrom: {configMapKeyRef: {name: a, key: b}}}]`, says: "env[ERL_ZFLAGS] must have a plain value"},
		"the name, given by the user":      {runtime: v1alpha1.RuntimeCustom, env: `[{name: ERL_FLAGS, value: "-name $(ERLANG_NODE)"}]`},
		"the cookie, given by the user":    {runtime: v1alpha1.RuntimeCustom, env: `[{name: ERL_FLAGS, value: "-setcookie x"}]`, says: "env[ERL_FLAGS] has the flag -setcookie"},
		"a release with a short name":      {env: `[{name: RELEASE_DISTRIBUTION, value: sname}]`, says: `env[RELEASE_DISTRIBUTION] is "sname"`},
		"a release with a long name":       {env: `[{name: RELEASE_DISTRIBUTION, value: name}]`, says: "set runtime: Mix"},
		"a release without a name":         {env: `[{name: RELEASE_DISTRIBUTION, value: none}, {name: RELEASE_NODE, value: chat@here}]`},
		"from elsewhere":                   {env: `[{name: RELEASE_DISTRIBUTION, valueFrom: {configMapKeyRef: {name: a, key: b}}}]`},
		"Mix with a short name":            {runtime: v1alpha1.RuntimeMix, env: `[{name: RELEASE_DISTRIBUTION, value: sname}]`, says: `env[RELEASE_DISTRIBUTION] is "sname"`},
		"Mix with another name":            {runtime: v1alpha1.RuntimeMix, env: `[{name: RELEASE_NODE, value: chat@here}]`, says: "env[RELEASE_NODE] is not the name of the node, $(ERLANG_NODE)"},
		"Mix with the same name":           {runtime: v1alpha1.RuntimeMix, env: `[{name: RELEASE_DISTRIBUTION, value: name}, {name: RELEASE_NODE, value: $(ERLANG_NODE)}]`},
		"Mix, and relx":                    {runtime: v1alpha1.RuntimeMix, env: `[{name: RELX_REPLACE_OS_VARS, value: "true"}]`, says: "Set runtime: Relx"},
		"relx, and Mix":                    {runtime: v1alpha1.RuntimeRelx, env: `[{name: RELEASE_DISTRIBUTION, value: name}]`, says: "Set runtime: Mix"},
		"relx":                             {runtime: v1alpha1.RuntimeRelx, env: `[{name: RELX_REPLACE_OS_VARS, value: "true"}]`},
		"one's own, with a short name":     {runtime: v1alpha1.RuntimeCustom, env: `[{name: RELEASE_DISTRIBUTION, value: sname}]`, says: "Set it to name"},
		"a release with a cookie":          {env: `[{name: RELEASE_COOKIE, value: hush}]`, says: "env[RELEASE_COOKIE] would be ignored"},
		"relx with a cookie":               {env: `[{name: RELX_COOKIE, value: hush}]`, says: "env[RELX_COOKIE] would be ignored"},
		"a release with a cookie's Secret": {env: `[{name: RELEASE_COOKIE, valueFrom: {secretKeyRef: {name: a, key: b}}}]`, says: "env[RELEASE_COOKIE] would be ignored"},
		"relx with a port":                 {env: `[{name: ERL_DIST_PORT, value: "4370"}]`, says: "set distribution.ports"},
		"other variables of a release":     {env: `[{name: RELEASE_MODE, value: interactive}, {name: RELEASE_TMP, value: /tmp}]`},
	} {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(t, test.runtime, `{env: `+test.env+`}`)
			switch {
			case test.says == "" && len(problems) > 0:
				t.Errorf("refused: %q", problems)
			case test.says != "" && (len(problems) != 1 || !strings.Contains(problems[0], test.says)):
				t.Errorf("the problems are %q, want one that says %q", problems, test.says)
			case strings.Contains(strings.Join(problems, ""), "hush"):
				t.Errorf("%q has the cookie in it", problems)
			}
		})
	}
}

// problemsOf are the messages about a container, written as YAML. The runtime is Erl by
// default.
func problemsOf(t *testing.T, runtime v1alpha1.Runtime, text string) []string {
	t.Helper()
	var container corev1.Container
	if err := yaml.UnmarshalStrict([]byte(text), &container); err != nil {
		t.Fatal(err)
	}
	container.Name = "chat"
	return Conflicts(v1alpha1.ErlangClusterSpec{Runtime: cmp.Or(runtime, v1alpha1.RuntimeErl),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{container}}}})
}

func TestConflictingMounts(t *testing.T) {
	for name, test := range map[string]struct {
		mount string
		says  string // empty when nothing is refused
	}{
		"elsewhere":             {`{name: scratch, mountPath: /run/chat}`, ""},
		"beside ours":           {`{name: scratch, mountPath: /run/erlang-operator/tlsx}`, ""},
		"the same directory":    {`{name: scratch, mountPath: /run/erlang-operator/tls}`, "where the operator mounts"},
		"below ours":            {`{name: scratch, mountPath: /run/erlang-operator/distribution/x}`, "where the operator mounts"},
		"that of the cookie":    {`{name: scratch, mountPath: /run/erlang-operator/cookie}`, "where the operator mounts"},
		"that of the programs":  {`{name: scratch, mountPath: /run/erlang-operator/bin}`, "where the operator mounts"},
		"with two slashes":      {`{name: scratch, mountPath: /run//erlang-operator/tls}`, "where the operator mounts"},
		"with two dots":         {`{name: scratch, mountPath: /srv/../run/erlang-operator/tls/}`, "where the operator mounts"},
		"relative":              {`{name: scratch, mountPath: run/erlang-operator/tls}`, "where the operator mounts"},
		"above ours":            {`{name: scratch, mountPath: /run}`, ""},
		"above ours, read-only": {`{name: scratch, mountPath: /run, readOnly: true}`, "cannot mount the node's identity"},
		"a ConfigMap above":     {`{name: config, mountPath: /run/erlang-operator}`, "cannot mount the node's identity"},
	} {
		t.Run(name, func(t *testing.T) {
			var spec v1alpha1.ErlangClusterSpec
			if err := yaml.UnmarshalStrict([]byte(`template: {spec: {
				volumes: [{name: scratch, emptyDir: {}}, {name: config, configMap: {name: c}}],
				containers: [{name: chat, volumeMounts: [`+test.mount+`]}]}}`), &spec); err != nil {
				t.Fatal(err)
			}
			conflicts := Conflicts(spec)
			if test.says == "" && len(conflicts) > 0 || test.says != "" && (len(conflicts) != 1 || !strings.Contains(conflicts[0], test.says)) {
				t.Errorf("the conflicts are %q, want one that says %q", conflicts, test.says)
			}
		})
	}
}

func TestClaimsWithNamesOfOurVolumes(t *testing.T) {
	for name, want := range map[string]int{"data": 0, "erlang-operator-tls": 1, "erlang-operator-distribution": 1, "erlang-operator-cookie": 1, "erlang-operator-programs": 1} {
		var spec v1alpha1.ErlangClusterSpec
		if err := yaml.UnmarshalStrict([]byte(`{volumeClaimTemplates: [{metadata: {name: `+name+`}}], template: {spec: {containers: [{name: chat}]}}}`), &spec); err != nil {
			t.Fatal(err)
		}
		if conflicts := Conflicts(spec); len(conflicts) != want {
			t.Errorf("a claim %s: the conflicts are %q, want %d", name, conflicts, want)
		}
	}
}
