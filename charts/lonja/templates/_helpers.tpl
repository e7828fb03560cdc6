{{/* Every name begins with this. Cut so that the longest name made of it still
     fits the 52 characters that a StatefulSet may have, and without dots, since
     a pod's name is its replica's name and NATS reads dots as separators. */}}
{{- define "lonja.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Release.Name -}}
{{- if not (contains $name .Release.Name) }}{{ $full = printf "%s-%s" .Release.Name $name }}{{ end -}}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods of one component. It must never change: selectors cannot. */}}
{{- define "lonja.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .root.Release.Name | trunc 53 }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "lonja.labels" -}}
{{- include "lonja.selector" . }}
app.kubernetes.io/part-of: lonja
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secret with an identity's key, or nothing when the shop connects
     unauthenticated. A key for some identities only is a mistake that would
     show much later, as a pod that NATS turns away. */}}
{{- define "lonja.keySecret" -}}
{{- $keys := .root.Values.keys -}}
{{- if index $keys.existingSecrets .identity -}}
{{- index $keys.existingSecrets .identity -}}
{{- else if index $keys.seeds .identity -}}
{{- printf "%s-key-%s" (include "lonja.fullname" .root) .identity -}}
{{- else if $keys.existingSecret -}}
{{- replace "%s" .identity $keys.existingSecret -}}
{{- else if or $keys.seeds $keys.existingSecrets -}}
{{- fail (printf "keys: there is no key for %s; give keys.seeds.%s, keys.existingSecrets.%s or keys.existingSecret" .identity .identity .identity) -}}
{{- end -}}
{{- end -}}

{{/* A Secret with an identity's key, when its seed is among the values and no
     existing Secret takes its place. */}}
{{- define "lonja.ownKey" -}}
{{- $keys := .root.Values.keys -}}
{{- if not (index $keys.existingSecrets .identity) }}{{ index $keys.seeds .identity | default "" }}{{ end -}}
{{- end -}}

{{/* What every pod has in common: the restricted level of the Pod Security
     Standards, no token for the Kubernetes API, which nothing here asks, and
     where pods may run. fsGroup lets user 65532 read keys and write views. */}}
{{- define "lonja.pod" -}}
serviceAccountName: {{ include "lonja.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.root.Values $field }}
{{ $field }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lonja.spread" -}}
topologySpreadConstraints:
  {{- range .root.Values.topologySpread.topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "lonja.selector" $ | nindent 8 }}
    {{- if eq $.component "gateway" }}
    # Counts pods of one revision, or a rolling upgrade would leave them askew.
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "lonja.image" -}}
{{- with .Values.image -}}
image: {{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* How a part finds NATS and proves who it is. Flags and not LONJA_…
     variables: the program refuses a flag that it does not know. */}}
{{- define "lonja.natsArgs" -}}
- --log-level={{ .root.Values.logLevel }}
- --nats={{ .root.Values.nats.url }}
{{- if include "lonja.keySecret" . }}
- --nats-keys=/keys
{{- end }}
{{- with .root.Values.nats.ca }}
{{- if or .configMap .secret }}
- --nats-ca=/ca/{{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lonja.natsMounts" -}}
{{- if include "lonja.keySecret" . }}
- {name: key, mountPath: /keys/{{ .identity }}, readOnly: true}
{{- end }}
{{- if or .root.Values.nats.ca.configMap .root.Values.nats.ca.secret }}
- {name: ca, mountPath: /ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lonja.natsVolumes" -}}
{{- with include "lonja.keySecret" . }}
- name: key
  secret:
    secretName: {{ . }}
    items: [{key: seed, path: seed}]
    defaultMode: 0400
{{- end }}
{{- with .root.Values.nats.ca }}
{{- if .configMap }}
- name: ca
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- else if .secret }}
- name: ca
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key }}, path: {{ .key }}}]
    defaultMode: 0400
{{- end }}
{{- end }}
{{- end -}}

{{/* The probes that gateway and services share. Liveness is of the process
     alone: to restart what merely waits for NATS would heal nothing. */}}
{{- define "lonja.liveness" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: {{ div (add .startupSeconds 1) 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
{{- end -}}

{{- define "lonja.extraEnv" -}}
{{- range $name, $value := .Values.extraEnv }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Out to NATS and to DNS, which every part needs. */}}
{{- define "lonja.egress" -}}
{{- $ports := list }}
{{- range splitList "," .Values.nats.url }}
{{- $ports = append $ports (regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default "4222") }}
{{- end -}}
- ports:
    {{- range uniq $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.networkPolicy.natsTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{/* On which event Helm makes the object, and in what order. It is gone after
     that, for Helm forgets hooks at uninstall; if a Job fails it stays, and Helm
     prints its log. */}}
{{- define "lonja.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/* Where customers reach the shop. Nobody can guess it for a Gateway or a load
     balancer; what nothing leads to is reached as the notes say. */}}
{{- define "lonja.publicURL" -}}
{{- with .Values.gateway -}}
{{- if .publicURL -}}
{{- .publicURL -}}
{{- else if .ingress.enabled -}}
{{- ternary "https" "http" (ne .ingress.tlsSecret "") }}://{{ first .ingress.hosts -}}
{{- else if or .httpRoute.enabled (ne .service.type "ClusterIP") -}}
{{- fail "gateway.publicURL is required: where customers reach the shop, such as https://shop.example" -}}
{{- else -}}
http://127.0.0.1:8080
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Refuses, before anything is upgraded, labels that would select other pods than
     a workload that is there. Without a cluster (helm template) nothing is there. */}}
{{- define "lonja.sameSelector" -}}
{{- with lookup "apps/v1" .kind .context.root.Release.Namespace .name -}}
{{- if ne (toYaml .spec.selector.matchLabels) (include "lonja.selector" $.context | fromYaml | toYaml) -}}
{{- fail (printf "nothing was upgraded: %s %s cannot select its pods by other labels; leave nameOverride as it is, or uninstall and reinstall: all events are on NATS, and views are built out of them" $.kind $.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The volume that a StatefulSet which is there has, and the values would
     change, in a line; nothing when they agree. */}}
{{- define "lonja.otherVolume" -}}
{{- with lookup "apps/v1" "StatefulSet" .root.Release.Namespace .name -}}
{{- $is := dict "enabled" false -}}
{{- with .spec.volumeClaimTemplates -}}
{{- with (first .).spec -}}
{{- $is = dict "enabled" true "size" .resources.requests.storage "storageClass" (default "" .storageClassName) -}}
{{- end -}}
{{- end -}}
{{- if ne (include "lonja.volume" (dict "is" $is "exact" true)) (include "lonja.volume" (dict "is" $.persistence "exact" true)) -}}
{{- printf "%s: %s cannot become %s" $.name (include "lonja.volume" (dict "is" $is)) (include "lonja.volume" (dict "is" $.persistence)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A volume in words; exact, its size is in bytes: Kubernetes writes 2048Mi as 2Gi. */}}
{{- define "lonja.volume" -}}
{{- if .is.enabled -}}
{{ ternary (include "lonja.bytes" .is.size) .is.size (default false .exact) }}{{ with .is.storageClass }} of class {{ . }}{{ end }}
{{- else -}}
no volume
{{- end -}}
{{- end -}}

{{- define "lonja.bytes" -}}
{{- $units := dict "" 1 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- $number := regexFind "^[0-9.]+" (toString .) -}}
{{- printf "%.0f" (mulf ($number | float64) (index $units (trimPrefix $number (toString .)) | float64)) -}}
{{- end -}}
