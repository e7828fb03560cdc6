package charttest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// natsValues are the values of the official NATS chart that ours use, as that
// chart (2.x, helm/charts/nats/values.yaml of nats-io/k8s) has them: a value of
// another name is an error here, while that chart would silently ignore it.
type natsValues struct {
	Config struct {
		Cluster struct {
			Enabled  bool `json:"enabled"`
			Replicas int  `json:"replicas"`
		} `json:"cluster"`
		JetStream struct {
			Enabled   bool `json:"enabled"`
			FileStore struct {
				PVC struct {
					Size string `json:"size"`
				} `json:"pvc"`
				MaxSize string `json:"maxSize"`
			} `json:"fileStore"`
			Merge struct {
				SyncInterval string `json:"sync_interval"`
			} `json:"merge"`
		} `json:"jetstream"`
		Merge struct {
			Include string `json:"$include"`
		} `json:"merge"`
	} `json:"config"`
	Container struct {
		Env   map[string]string `json:"env"`
		Merge corev1.Container  `json:"merge"`
		Patch []patchStep       `json:"patch"`
	} `json:"container"`
	Reloader struct {
		Merge corev1.Container `json:"merge"`
	} `json:"reloader"`
	PodTemplate struct {
		TopologySpreadConstraints map[string]corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
		Merge                     corev1.PodTemplateSpec                     `json:"merge"`
		Patch                     []patchStep                                `json:"patch"`
	} `json:"podTemplate"`
	PodDisruptionBudget struct {
		Enabled bool `json:"enabled"`
	} `json:"podDisruptionBudget"`
	NATSBox struct {
		Enabled bool `json:"enabled"`
	} `json:"natsBox"`
}

type patchStep struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func TestNATSValues(t *testing.T) {
	for file, servers := range map[string]int{"nats-single.yaml": 1, "nats-cluster.yaml": 3} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../charts", file))
			if err != nil {
				t.Fatal(err)
			}
			var v natsValues
			if err := unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if v.Config.Cluster.Enabled != (servers > 1) || servers > 1 && v.Config.Cluster.Replicas != servers {
				t.Errorf("wants %d servers: %v", servers, v.Config.Cluster)
			}
			if servers > 1 {
				host := v.PodTemplate.TopologySpreadConstraints["kubernetes.io/hostname"]
				if !v.PodDisruptionBudget.Enabled || host.MaxSkew != 1 || host.WhenUnsatisfiable != corev1.DoNotSchedule {
					t.Errorf("a node may take two servers with it: %v, %v", v.PodDisruptionBudget, host)
				}
			}
			readByTheServer(t, v)
			mountsTheAccounts(t, v)
			for _, c := range []corev1.Container{v.Container.Merge, v.Reloader.Merge} {
				s, pod := c.SecurityContext, v.PodTemplate.Merge.Spec.SecurityContext
				if deref(s.AllowPrivilegeEscalation) || !deref(s.ReadOnlyRootFilesystem) || s.Capabilities.Drop[0] != "ALL" ||
					!deref(pod.RunAsNonRoot) || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || pod.FSGroup == nil {
					t.Errorf("is not of the restricted level: %v, %v", s, pod)
				}
			}
			limit, soft := v.Container.Merge.Resources.Limits.Memory(), resource.MustParse(strings.TrimSuffix(v.Container.Env["GOMEMLIMIT"], "B"))
			if soft.Cmp(*limit) >= 0 || soft.IsZero() {
				t.Errorf("GOMEMLIMIT %s is not below the limit of %s", soft.String(), limit)
			}
		})
	}
}

// readByTheServer gives what the chart makes of the values to the real server's parser.
func readByTheServer(t *testing.T, v natsValues) {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf, auth := filepath.Join(dir, "nats-config", "nats.conf"), filepath.Join(dir, "lonja-auth", "auth.conf")
	for file, text := range map[string]string{
		auth: "accounts { SHOP { jetstream: enabled, users: [{nkey: " + public + "}] } }",
		conf: "{\n  include " + v.Config.Merge.Include + ";\n  \"jetstream\": {\n    \"max_file_store\": " + v.Config.JetStream.FileStore.MaxSize +
			",\n    \"store_dir\": \"/data\",\n    \"sync_interval\": \"" + v.Config.JetStream.Merge.SyncInterval + "\"\n  }\n}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	disk := resource.MustParse(v.Config.JetStream.FileStore.PVC.Size)
	if !options.JetStream || !v.Config.JetStream.Enabled || !options.SyncAlways {
		t.Error("a fact is acknowledged before it is on disk")
	}
	if max := options.JetStreamMaxStore; max <= 0 || max > disk.Value()*95/100 {
		t.Errorf("the log may have %d of a disk of %d", max, disk.Value())
	}
	if len(options.Accounts) != 1 || len(options.Nkeys) != 1 {
		t.Errorf("auth.conf is not read: %v, %v", options.Accounts, options.Nkeys)
	}
}

// mountsTheAccounts applies the patches to what the chart has there, and sees
// that the include leads to the ConfigMap that the comments make.
func mountsTheAccounts(t *testing.T, v natsValues) {
	t.Helper()
	apply := func(doc string, steps []patchStep, into any) {
		text, err := yaml.Marshal(steps)
		if err == nil {
			text, err = yaml.YAMLToJSON(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(text)
		if err != nil {
			t.Fatal(err)
		}
		patched, err := patch.Apply([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if err := unmarshal(patched, into); err != nil {
			t.Fatal(err)
		}
	}
	var c corev1.Container
	var template corev1.PodTemplateSpec
	apply(`{"name":"nats","volumeMounts":[{"name":"config","mountPath":"/etc/nats-config"}]}`, v.Container.Patch, &c)
	apply(`{"spec":{"containers":[],"volumes":[{"name":"config","configMap":{"name":"nats-config"}}]}}`, v.PodTemplate.Patch, &template)
	mount, volume := c.VolumeMounts[1], template.Spec.Volumes[1]
	if at := filepath.Join("/etc/nats-config", v.Config.Merge.Include); at != mount.MountPath+"/auth.conf" || !strings.HasPrefix(mount.MountPath, "/etc/") {
		t.Errorf("includes %s, mounts %s", at, mount.MountPath)
	}
	if volume.Name != mount.Name || volume.ConfigMap == nil || volume.ConfigMap.Name != "lonja-nats-auth" || !mount.ReadOnly {
		t.Errorf("mounts %v of %v", mount, volume)
	}
}

// Comments tell commands that people copy. The Secrets and ConfigMaps that they
// make are those that the values want.
func TestCommandsInCommentsFitTheValues(t *testing.T) {
	for _, file := range []string{"nats-cluster.yaml", "lonja/values-production.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../charts", file))
		if err != nil {
			t.Fatal(err)
		}
		loop := regexp.MustCompile(`for id in (.*); do\n#     kubectl create secret generic lonja-key-\$id --from-file=seed=deploy/keys/\$id/seed\n`).FindSubmatch(text)
		if loop == nil {
			t.Fatalf("%s does not say how the keys get there", file)
		}
		made := map[string]bool{"": true}
		for _, id := range strings.Fields(string(loop[1])) {
			made[id] = true
		}
		for _, p := range pods(t, objects(t, "shop", readValues(t, sets["production"]))) {
			if !made[p.identity()] {
				t.Errorf("%s makes no key for %s", file, p.identity())
			}
		}
		if len(made) != 9 {
			t.Errorf("%s makes keys of nobody: %v", file, made)
		}
	}
}
