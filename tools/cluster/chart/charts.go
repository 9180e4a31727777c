package chart

// The kinds of objects that values are about.
const (
	configMap       = "ConfigMap"
	containerSource = "ContainerSource"
	statefulSet     = "StatefulSet"
	deployment      = "Deployment"
	job             = "Job"
	autoscaler      = "HorizontalPodAutoscaler"
)

// Chart says what of config/ a chart is made of.
type Chart struct {
	Name        string
	Description string
	folder      string // of config/
	renamed     bool   // by the name of the release, so that there can be several in a namespace
	switches    []toggle
	values      []value
	notes       string
}

// toggle is a value that adds to the manifests, or takes others instead.
type toggle struct {
	value    string // which is empty or false when it is off
	comment  string
	folder   string // takes the place of the chart's folder
	resource string // is added
	// component is added, and named what in it the value is the name of; without it the value is true or false.
	component, named string
}

// value sets fields of objects. Its default is what they have.
type value struct {
	name, comment string
	fields        []field
}

// field is where a value goes. Numbers in the path are indices of lists.
type field struct{ kind, name, path string }

// pods returns a field of a container's pods, whatever makes these.
func pods(path string) []field {
	return []field{
		{kind: containerSource, path: "spec.template." + path},
		{kind: statefulSet, path: "spec.template." + path},
		{kind: deployment, path: "spec.template." + path},
		{kind: job, path: "spec.template." + path},
	}
}

func imageAndResources() []value {
	return []value{
		{name: "image", comment: "The image, by digest. It is that of the release; change it for a mirror.", fields: pods("spec.containers.0.image")},
		{name: "resources", comment: "What the container asks for and may have. Go keeps within 90 % of the limit of memory.", fields: pods("spec.containers.0.resources")},
	}
}

var credentials = toggle{
	value: "credentials.secret", component: "credentials", named: "eventmesh-credentials",
	comment: "The name of a Secret with the keys username and password for EventMesh; none by default.",
}

func podEvents(program string) toggle {
	return toggle{
		value: "podEvents.enabled", component: "pod-events/" + program,
		comment: "Lets pods record why they do not work as Events, which kubectl describe shows: gives them a token of Kubernetes, and the right to do so.",
	}
}

const settingsComment = "Other settings, as docs/configuration.md lists them. A change replaces the pods."

// All are the charts of this project.
var All = []Chart{
	{
		Name: "eventmesh-source", folder: "source", renamed: true,
		Description: "Brings events from EventMesh topics to a Knative sink",
		switches: []toggle{
			{
				value: "spool.enabled", folder: "source-spool",
				comment: "Keeps events on a volume until the sink has accepted them, as a StatefulSet; otherwise in memory, as a ContainerSource.",
			},
			credentials,
			podEvents("source"),
			{
				value: "drain.claim", component: "drain", named: "spool-eventmesh-source-1",
				comment: "The volume claim of a pod that is gone: a Job delivers what is left there.",
			},
		},
		values: append([]value{
			{name: "url", comment: "Where EventMesh is: grpc://host:10205, tcp://host:10000 or http://host:10105; several, comma separated, are tried in turn.", fields: settings("EVENTMESH_URL")},
			{name: "topics", comment: "The topics to subscribe to, comma separated.", fields: settings("EVENTMESH_TOPICS")},
			{name: "group", comment: "The consumer group. Every other source needs another one.", fields: settings("EVENTMESH_GROUP")},
			{name: "sink", comment: "Where events go, as in a ContainerSource's spec.sink.", fields: []field{{kind: containerSource, path: "spec.sink"}, {kind: "SinkBinding", path: "spec.sink"}}},
			{name: "spool.replicas", comment: "How many pods share the group's events.", fields: []field{{kind: statefulSet, path: "spec.replicas"}}},
			{name: "spool.size", comment: "The size of each pod's volume.", fields: []field{{kind: statefulSet, path: "spec.volumeClaimTemplates.0.spec.resources.requests.storage"}}},
			{name: "drain.sink", comment: "The URL to which that Job delivers, which is where sink leads.", fields: []field{{kind: job, path: "spec.template.spec.containers.0.env.0.value"}}},
		}, imageAndResources()...),
		notes: `kubectl --namespace {{ .Release.Namespace }} get {{ if .Values.spool.enabled }}statefulset{{ else }}containersource{{ end }}/{{ .Release.Name }}
says whether the source runs, and
kubectl --namespace {{ .Release.Namespace }} logs --selector app.kubernetes.io/instance={{ .Release.Name }}
whether it is connected to {{ .Values.url }}, to which it subscribes for {{ .Values.topics }}.
`,
	},
	{
		Name: "eventmesh-sink", folder: "sink", renamed: true,
		Description: "Publishes events from Knative to EventMesh topics",
		switches: []toggle{
			credentials,
			{
				value: "tls.secret", component: "tls", named: "eventmesh-sink-tls",
				comment: "The name of a Secret with the keys tls.crt and tls.key, to serve HTTPS at port 443; none by default.",
			},
			{
				value: "oidc.enabled", component: "oidc",
				comment: "Requires tokens of the cluster for the audience eventmesh-sink. Set settings.OIDC_SUBJECTS, too, to say whose.",
			},
			podEvents("sink"),
		},
		values: append([]value{
			{name: "url", comment: "Where EventMesh is: grpc://host:10205, tcp://host:10000 or http://host:10105; several, comma separated, are tried in turn.", fields: settings("EVENTMESH_URL")},
			{name: "topics", comment: "The topics that events may be published to, comma separated; * stands for anything.", fields: settings("EVENTMESH_TOPICS")},
			{name: "autoscaling.minReplicas", comment: "How many pods there are at least.", fields: []field{{kind: autoscaler, path: "spec.minReplicas"}}},
			{name: "autoscaling.maxReplicas", comment: "How many pods there are at most.", fields: []field{{kind: autoscaler, path: "spec.maxReplicas"}}},
		}, imageAndResources()...),
		notes: `Triggers reach the sink as the Service {{ .Release.Name }}, with the uri /topics/ and a topic of {{ .Values.topics }}.
kubectl --namespace {{ .Release.Namespace }} logs --selector app.kubernetes.io/instance={{ .Release.Name }}
says whether it is connected to {{ .Values.url }}.
`,
	},
	{
		Name: "eventmesh-broker", folder: "broker",
		Description: "Brokers of class EventMesh, beside Knative Eventing",
		switches: []toggle{
			{
				value: "tls.enabled", component: "broker-tls",
				comment: "Serves HTTPS, too, with the certificate of the Secret eventmesh-broker-ingress-tls in the namespace knative-eventing.",
			},
			{
				value: "oidc.enabled", resource: "broker-oidc",
				comment: "Gives the rights that Knative's feature authentication-oidc needs.",
			},
		},
		values: []value{
			{
				name: "url", comment: "Where EventMesh is for Brokers that do not say so themselves.",
				fields: []field{{kind: configMap, path: "data.eventmesh\\.url"}},
			},
			{name: "controller.image", comment: "The images, by digest. They are those of the release; change them for a mirror.", fields: broker(deployment, "controller", "image")},
			{name: "controller.resources", comment: "What each container asks for and may have.", fields: broker(deployment, "controller", "resources")},
			{name: "ingress.image", fields: broker(deployment, "ingress", "image")},
			{name: "ingress.resources", fields: broker(deployment, "ingress", "resources")},
			{name: "ingress.minReplicas", comment: "How many pods there are at least.", fields: []field{{kind: autoscaler, path: "spec.minReplicas"}}},
			{name: "ingress.maxReplicas", comment: "How many pods there are at most.", fields: []field{{kind: autoscaler, path: "spec.maxReplicas"}}},
			{name: "dispatcher.image", fields: broker(statefulSet, "dispatcher", "image")},
			{name: "dispatcher.resources", fields: broker(statefulSet, "dispatcher", "resources")},
			{
				name: "dispatcher.replicas", comment: "More than one share the events: docs/broker.md says what a crash loses then.",
				fields: []field{{kind: statefulSet, name: "eventmesh-broker-dispatcher", path: "spec.replicas"}},
			},
			{
				name: "dispatcher.size", comment: "The size of each pod's volume, for the events of all Triggers.",
				fields: []field{{kind: statefulSet, name: "eventmesh-broker-dispatcher", path: "spec.volumeClaimTemplates.0.spec.resources.requests.storage"}},
			},
		},
		notes: `Brokers with the annotation eventing.knative.dev/broker.class: EventMesh are served when these are ready:
kubectl --namespace knative-eventing get pods --selector app.kubernetes.io/part-of=eventing-eventmesh
`,
	},
}

// settings returns a field of the ConfigMap of a program's settings.
func settings(name string) []field { return []field{{kind: configMap, path: "data." + name}} }

func broker(kind, program, of string) []field {
	return []field{{kind: kind, name: "eventmesh-broker-" + program, path: "spec.template.spec.containers.0." + of}}
}
