{{/* Names, labels and parts of pods that components share. "root" is the chart's scope. */}}

{{- define "workflow.tag" -}}
{{ .Values.images.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "workflow.image" -}}
{{ .root.Values.images.prefix }}/{{ .image }}:{{ include "workflow.tag" .root }}
{{- end }}

{{- /* Labels of an object of component "name". */}}
{{- define "workflow.labels" -}}
app: {{ .name }}
heritage: deis
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: workflow
{{- end }}

{{- /* Labels of its pods; those of the chart's version would start every pod anew. */}}
{{- define "workflow.podLabels" -}}
app: {{ .name }}
heritage: deis
{{- end }}

{{- define "workflow.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "workflow.labels" . | nindent 2 }}
{{- end }}

{{- define "workflow.workloadMetadata" -}}
{{ include "workflow.metadata" . }}
annotations:
  component.deis.io/version: {{ include "workflow.tag" .root | quote }}
{{- end }}

{{- /* What every pod of the platform says about itself; "values" are the component's. */}}
{{- define "workflow.pod" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector | default .root.Values.pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations | default .root.Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
enableServiceLinks: false
{{- end }}

{{- define "workflow.podAnnotations" -}}
{{- with .root.Values.pods.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Replicas on nodes of their own where there are several. */}}
{{- define "workflow.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app: {{ .name }}
{{- end }}

{{- define "workflow.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 2001
  runAsGroup: 2001
  fsGroup: 2001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "workflow.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- /* A service of the platform image: "service" is its name for `deis-platform run`. */}}
{{- define "workflow.container" -}}
image: {{ include "workflow.image" (dict "root" .root "image" "platform") }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
{{ include "workflow.containerSecurity" . }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end }}

{{- /* Alive while the loop turns. A service whose dependency is away is not helped by a restart. */}}
{{- define "workflow.alive" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- define "workflow.ready" -}}
readinessProbe:
  httpGet: {path: /readiness, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{- /* Settings of every service; "user" is who it is on the bus. */}}
{{- define "workflow.env" -}}
- name: DEIS_POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: DEIS_RUNTIME
  value: kubernetes
- name: DEIS_LOG_FORMAT
  value: json
- name: DEIS_HEALTH_ADDRESS
  value: 0.0.0.0:8092
- name: DEIS_NATS_URL
  value: {{ include "workflow.natsUrl" .root | quote }}
- name: DEIS_NATS_USER
  value: {{ .user }}
- name: DEIS_NATS_PASSWORD_FILE
  value: /var/run/secrets/deis/nats/password
{{- if or (include "workflow.natsHere" .root) .root.Values.nats.caSecret }}
- name: DEIS_NATS_CA_FILE
  value: /var/run/secrets/deis/nats-ca/ca.crt
{{- end }}
- name: DEIS_DOMAIN
  value: {{ .root.Values.platformDomain | quote }}
{{- end }}

{{- /* Settings that the operator gives by name. */}}
{{- define "workflow.ownEnv" -}}
{{- range $name, $value := .values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "workflow.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: nats
  mountPath: /var/run/secrets/deis/nats
  readOnly: true
{{- if or (include "workflow.natsHere" .root) .root.Values.nats.caSecret }}
- name: nats-ca
  mountPath: /var/run/secrets/deis/nats-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "workflow.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: nats
  secret:
    secretName: {{ .root.Values.nats.existingSecret | default "deis-nats-users" }}
    defaultMode: 0440
    items:
      - {key: {{ .user }}, path: password}
{{- if include "workflow.natsHere" .root }}
- name: nats-ca
  secret:
    secretName: deis-nats-tls
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- else if .root.Values.nats.caSecret }}
- name: nats-ca
  secret:
    secretName: {{ .root.Values.nats.caSecret }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- end }}

{{- /* Conditions by name: text where they hold. */}}
{{- define "workflow.always" -}}yes{{- end }}

{{- /* The router's port "name" as the world sees it, for redirects and for what the API tells. */}}
{{- define "workflow.publicPort" -}}
{{- $router := .root.Values.router }}
{{- $own := ternary (get $router.hostPorts .name) (get (dict "http" 80 "https" 443 "git" 2222) .name) $router.hostPorts.enabled }}
{{- int (get $router.publicPorts .name | default $own) }}
{{- end }}

{{- define "workflow.natsHere" -}}
{{- if eq .Values.global.natsLocation "on-cluster" }}yes{{ end }}
{{- end }}

{{- define "workflow.natsUrl" -}}
{{- if include "workflow.natsHere" . -}}
tls://deis-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ required "nats.url must be set with global.natsLocation: off-cluster" .Values.nats.url }}
{{- end }}
{{- end }}

{{- define "workflow.databaseHere" -}}
{{- if eq .Values.global.databaseLocation "on-cluster" }}yes{{ end }}
{{- end }}

{{- define "workflow.databaseEnv" -}}
- name: DEIS_DATABASE_URL
{{- if include "workflow.databaseHere" . }}
  value: postgresql://deis@deis-database.{{ .Release.Namespace }}.svc:5432/deis
{{- else }}
  value: {{ required "database.url must be set with global.databaseLocation: off-cluster" .Values.database.url | quote }}
{{- end }}
- name: DEIS_DATABASE_PASSWORD_FILE
  value: /var/run/secrets/deis/database/password
{{- if or (include "workflow.databaseHere" .) .Values.database.caSecret }}
- name: DEIS_DATABASE_CA_FILE
  value: /var/run/secrets/deis/database-ca/ca.crt
{{- end }}
{{- end }}

{{- define "workflow.databaseMounts" -}}
- name: database
  mountPath: /var/run/secrets/deis/database
  readOnly: true
{{- if or (include "workflow.databaseHere" .) .Values.database.caSecret }}
- name: database-ca
  mountPath: /var/run/secrets/deis/database-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "workflow.databaseVolumes" -}}
- name: database
  secret:
    secretName: {{ .Values.database.existingSecret | default "deis-database" }}
    defaultMode: 0440
    items:
      - {key: password, path: password}
{{- if or (include "workflow.databaseHere" .) .Values.database.caSecret }}
- name: database-ca
  secret:
    secretName: {{ if include "workflow.databaseHere" . }}deis-database-tls{{ else }}{{ .Values.database.caSecret }}{{ end }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- end }}

{{- define "workflow.objectsHere" -}}
{{- if eq .Values.global.storage "in-cluster" }}yes{{ end }}
{{- end }}

{{- define "workflow.objectsSecret" -}}
{{- if include "workflow.objectsHere" . }}deis-objects{{ else }}{{ .Values.objects.s3.existingSecret }}{{ end }}
{{- end }}

{{- define "workflow.objectsEnv" -}}
{{- if include "workflow.objectsHere" . }}
- name: DEIS_OBJECTS_URL
  value: s3://deis
- name: DEIS_S3_ENDPOINT
  value: http://deis-objects.{{ .Release.Namespace }}.svc:8333
{{- else }}
- name: DEIS_OBJECTS_URL
  value: {{ required "objects.s3.url must be set with global.storage: s3" .Values.objects.s3.url | quote }}
- name: DEIS_S3_ENDPOINT
  value: {{ .Values.objects.s3.endpoint | quote }}
- name: DEIS_S3_REGION
  value: {{ .Values.objects.s3.region | quote }}
{{- end }}
{{- if include "workflow.objectsSecret" . }}
- name: DEIS_S3_KEY_FILE
  value: /var/run/secrets/deis/objects/access-key
- name: DEIS_S3_SECRET_FILE
  value: /var/run/secrets/deis/objects/secret-key
{{- end }}
{{- end }}

{{- define "workflow.objectsMounts" -}}
{{- if include "workflow.objectsSecret" . }}
- name: objects
  mountPath: /var/run/secrets/deis/objects
  readOnly: true
{{- end }}
{{- end }}

{{- define "workflow.objectsVolumes" -}}
{{- with include "workflow.objectsSecret" . }}
- name: objects
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: access-key, path: access-key}
      - {key: secret-key, path: secret-key}
{{- end }}
{{- end }}

{{- define "workflow.keyEnv" -}}
- name: DEIS_SECRET_FILE
  value: /var/run/secrets/deis/platform-key/master.key
{{- end }}

{{- define "workflow.keyMounts" -}}
- name: platform-key
  mountPath: /var/run/secrets/deis/platform-key
  readOnly: true
{{- end }}

{{- define "workflow.keyVolumes" -}}
- name: platform-key
  secret:
    secretName: deis-platform-key
    defaultMode: 0440
{{- end }}

{{- define "workflow.runtimeEnv" -}}
- name: DEIS_STACK_IMAGE
  value: {{ include "workflow.image" (dict "root" . "image" "stack") }}
- name: DEIS_IMAGE_PULL_POLICY
  value: {{ .Values.apps.pullPolicy }}
- name: DEIS_BUILD_NAMESPACE
  value: {{ .Values.builds.namespace }}
- name: DEIS_ARTIFACTS_URL
  value: http://deis-artifacts.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8088
{{- end }}

{{- /* Pods may be evicted one after the other where there are several. */}}
{{- define "workflow.disruption" -}}
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "workflow.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: {{ .name }}
{{- end }}
{{- end }}

{{- /* A Secret that is made once: what it holds stays, what is missing is added. "made" are the
     values for missing keys, "type" is optional. Removing the release leaves it. */}}
{{- define "workflow.keptSecret" -}}
{{- $old := (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "workflow.metadata" . | nindent 2 }}
  annotations:
    helm.sh/resource-policy: keep
type: {{ .type | default "Opaque" }}
data:
  {{- range $key, $value := .made }}
  {{ $key }}: {{ index $old $key | default ($value | b64enc) | quote }}
  {{- end }}
{{- end }}

{{- define "workflow.claim" -}}
{{- if .storage.enabled }}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        heritage: deis
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storage.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .storage.size }}
{{- end }}
{{- end }}

{{- /* Addresses closed to builds: private and link-local ones (where clouds have their metadata),
     those of the API server as it is found now, and those of the values. */}}
{{- define "workflow.closed" -}}
{{- $closed := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.168.0.0/16" }}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "").items }}
{{- if eq (get (.metadata.labels | default dict) "kubernetes.io/service-name") "kubernetes" }}
{{- if eq .addressType "IPv4" }}
{{- range .endpoints }}
{{- range .addresses }}
{{- $closed = append $closed (printf "%s/32" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml (concat $closed .Values.builds.egress.deny | uniq) }}
{{- end }}

{{- /* What should run here. */}}
{{- define "workflow.components" -}}
gateway,controller,builder,router,logger,manager,shipper
{{- end }}

{{- /* The servers that run here too; empty where all of them are somebody else's. */}}
{{- define "workflow.servers" -}}
{{- $here := list }}
{{- if include "workflow.natsHere" . }}{{ $here = append $here "nats" }}{{ end }}
{{- if include "workflow.databaseHere" . }}{{ $here = append $here "database" }}{{ end }}
{{- if include "workflow.objectsHere" . }}{{ $here = append $here "objects" }}{{ end }}
{{- join "," $here }}
{{- end }}

{{- define "workflow.natsProbe" -}}
{{- $program := `import socket, sys
with socket.create_connection(("127.0.0.1", 8222), 4) as link:
    link.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    sys.exit(b" 200 " not in link.recv(100))
` -}}
{{ list "python3" "-ISE" "-c" $program | toJson }}
{{- end }}
