{{- define "lrserve.labels" -}}
app.kubernetes.io/part-of: lrserve
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Of a container that runs as the images' user: what it may do */}}
{{- define "lrserve.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "lrserve.user" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch # a volume of many files is not gone through at each start
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* lrserve.env ROOT KEY: the URL of Redis by a key of the secret, and the settings */}}
{{- define "lrserve.env" -}}
{{- $root := index . 0 -}}
- name: LRSERVE_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.secret }}
      key: {{ index . 1 }}
{{- range $name, $value := $root.Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "lrserve.envFrom" -}}
{{- with .Values.settingsSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end }}

{{- /* lrserve.image ROOT NAME */}}
{{- define "lrserve.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.registry }}{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- /* lrserve.volumes ROOT SIZE: the shared volume, and /tmp of a size */}}
{{- define "lrserve.volumes" -}}
- name: home
  persistentVolumeClaim:
    claimName: {{ (index . 0).Values.home.existingClaim | default "home" }}
- name: tmp
  emptyDir:
    sizeLimit: {{ index . 1 }}
{{- end }}

{{- define "lrserve.mounts" -}}
- name: home
  mountPath: /var/lib/lrserve
- name: tmp
  mountPath: /tmp
{{- end }}
