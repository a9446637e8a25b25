{{/* What names of this release begin with. Those of a release erlang-operator are as in config/. */}}
{{- define "erlang-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "erlang-operator" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-erlang-operator" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "erlang-operator.image" -}}
{{- with .Values.image -}}
{{- with .digest | default (ternary "" (index $.Chart.Annotations "erlang-operator.dev/image-digest") (ne .tag "")) -}}
{{- printf "%s@%s" $.Values.image.repository . -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "erlang-operator.replicas" -}}
{{- if ne (toString .Values.replicas) "Auto" -}}
{{- int .Values.replicas -}}
{{- else -}}
{{- ternary 2 1 (eq .Values.podIdentity "Webhook") -}}
{{- end -}}
{{- end -}}

{{- define "erlang-operator.priority" -}}
{{- if ne .Values.priorityClassName "Auto" -}}
{{- .Values.priorityClassName -}}
{{- else if gt (int (include "erlang-operator.replicas" .)) 1 -}}
system-cluster-critical
{{- end -}}
{{- end -}}

{{/* Whether metrics are served: empty for no. */}}
{{- define "erlang-operator.metrics" -}}
{{- if or (eq .Values.metrics.serve "Always") (and (eq .Values.metrics.serve "Auto") (empty .Values.namespaces)) -}}
yes
{{- end -}}
{{- end -}}

{{/* The labels of every object and pod: those of config/, and the release's. */}}
{{- define "erlang-operator.labelled" -}}
{{- $instance := printf "${1}app.kubernetes.io/name: erlang-operator\n${1}app.kubernetes.io/instance: %s" (quote .root.Release.Name) -}}
{{- $managed := printf "${1}app.kubernetes.io/managed-by: %s\n${1}app.kubernetes.io/version: %s\n${1}helm.sh/chart: %s-%s" .root.Release.Service (quote .root.Chart.AppVersion) .root.Chart.Name (.root.Chart.Version | replace "+" "_") -}}
{{- $text := regexReplaceAll "(?m)^( *)app.kubernetes.io/name: erlang-operator$" .text $instance -}}
{{- regexReplaceAll "(?m)^( *)app.kubernetes.io/managed-by: kustomize$" $text $managed -}}
{{- end -}}

{{/* A file of config/ that is the same for all releases. */}}
{{- define "erlang-operator.shared" -}}
{{- include "erlang-operator.labelled" (dict "root" .root "text" (.root.Files.Get (printf "files/%s.yaml" .file))) -}}
{{- end -}}

{{/* A file of config/ with the names and the namespace of this release, which may be like one of these names. */}}
{{- define "erlang-operator.own" -}}
{{- $name := include "erlang-operator.fullname" .root -}}
{{- $text := .root.Files.Get (printf "files/%s.yaml" .file) | replace "erlang-operator-system" "@namespace@" -}}
{{- $text = regexReplaceAll "\\berlang-operator-(manager|metrics|webhook|leader-election|critical-pods|selfsigned)" $text (printf "%s-${1}" $name) -}}
{{- $text = regexReplaceAll "(?m)^  name: erlang-operator$" $text (printf "  name: %s" $name) -}}
{{- $text = $text | replace "erlang-operator.erlang-operator.dev" (printf "%s.erlang-operator.dev" $name) -}}
{{- include "erlang-operator.labelled" (dict "root" .root "text" $text) | replace "@namespace@" .root.Release.Namespace -}}
{{- end -}}

{{/* The objects of such a file. */}}
{{- define "erlang-operator.objects" -}}
{{- $root := .root -}}
{{- range splitList "\n---\n" (include "erlang-operator.own" .) }}
{{- if or $root.Values.networkPolicy (not (contains "kind: NetworkPolicy" .)) }}
---
{{ . }}
{{- end }}
{{- end }}
{{- end -}}
