package containers

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"lonja/shop"
	"lonja/test/harness"
)

// These tests compare Dockerfile and compose.yaml with the program. They need no
// engine.

// composeFile is the part of compose.yaml that the tests read.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Profiles    []string
		ReadOnly    bool     `json:"read_only"`
		CapDrop     []string `json:"cap_drop"`
		SecurityOpt []string `json:"security_opt"`
		Privileged  bool
		User        string
		Volumes     []string
		Environment map[string]string
		Ports       []string
		Networks    any
		Restart     string
		DependsOn   map[string]struct{ Condition string } `json:"depends_on"`
	}
	Networks map[string]struct{ Internal bool }
	Volumes  map[string]any
}

func readComposeFile(t *testing.T) (f composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(harness.ReadFile(t, "compose.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// identityOf returns the identity whose key a container uses, "" for none.
func identityOf(service string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(service, "-a"), "-b")
	switch {
	case strings.HasPrefix(name, "setup"), strings.HasPrefix(name, "nats"):
		return ""
	case strings.HasPrefix(name, "streams"), name == "lonja":
		return shop.Operator
	}
	return name
}

func TestCompose_EachContainerHasItsOwnKeyAndNoRights(t *testing.T) {
	for name, s := range readComposeFile(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Privileged || s.User != "" {
			t.Errorf("%s has more rights than it needs: %+v", name, s)
		}
		var keys []string
		for _, v := range s.Volumes {
			if strings.HasPrefix(v, "keys-") {
				keys = append(keys, v)
			}
		}
		id := identityOf(name)
		switch {
		case strings.HasPrefix(name, "setup"): // creates all keys
		case id == "" && len(keys) > 0, id != "" && !slices.Equal(keys, []string{"keys-" + id + ":/keys/" + id + ":ro"}):
			t.Errorf("%s, which works as %q, sees the keys %v", name, id, keys)
		}
		for _, port := range s.Ports {
			if open := strings.HasPrefix(name, "gateway") || strings.HasPrefix(name, "nats"); !open || !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s", name, port)
			}
		}
		for _, port := range s.Ports { // NATS monitoring has no authentication
			if strings.HasPrefix(name, "nats") && !strings.HasSuffix(port, ":4222") {
				t.Errorf("%s publishes %s", name, port)
			}
		}
		for other := range s.DependsOn {
			if !strings.HasPrefix(other, "setup") && identityOf(name) != "gateway" {
				t.Errorf("%s waits for %s; it should start in any order", name, other)
			}
		}
	}
}

func TestCompose_OnlyIdentityHasTheKeyEncryptionKey(t *testing.T) {
	for name, s := range readComposeFile(t).Services {
		want := map[string]string{"identity": "kek:/kek:ro", "setup-kek": "kek:/kek"}[strings.TrimSuffix(name, "-b")]
		i := slices.IndexFunc(s.Volumes, func(v string) bool { return strings.HasPrefix(v, "kek:") })
		if got := i >= 0; got != (want != "") || got && s.Volumes[i] != want {
			t.Errorf("%s has %v; it should mount %q", name, s.Volumes, want)
		}
		if file := s.Environment["LONJA_KEK_FILE"]; (file == "/kek/kek") != (want == "kek:/kek:ro") {
			t.Errorf("%s: LONJA_KEK_FILE is %q", name, file)
		}
		if want == "kek:/kek:ro" && s.DependsOn["setup-kek"].Condition != "service_completed_successfully" {
			t.Errorf("%s does not wait for its key", name)
		}
	}
}

func TestCompose_EachServiceRunsOnceAndTwiceInACluster(t *testing.T) {
	f := readComposeFile(t)
	for _, name := range shop.Names() {
		a, b := f.Services[name], f.Services[name+"-b"]
		if !slices.Equal(a.Command, []string{"service", name}) || len(a.Profiles) > 0 {
			t.Errorf("%s: %+v", name, a)
		}
		if !slices.Equal(b.Command, []string{"service", name, "--replica", "b"}) || !slices.Equal(b.Profiles, []string{"cluster"}) {
			t.Errorf("%s-b: %+v", name, b)
		}
		for replica, s := range map[string][]string{"a": a.Volumes, "b": b.Volumes} {
			if !slices.Contains(s, "views-"+name+"-"+replica+":/data") {
				t.Errorf("%s, replica %s, keeps its views in %v", name, replica, s)
			}
		}
	}
}

// `up --wait` takes a finished job for a failure, unless a service of the same
// profiles depends on its success. Services must be restarted when they are killed.
func TestCompose_JobsAreAwaitedAndServicesRestart(t *testing.T) {
	f := readComposeFile(t)
	waitedFor := func(once, profile string) bool {
		for _, s := range f.Services {
			if slices.Contains(s.Profiles, profile) || len(s.Profiles) == 0 {
				if s.DependsOn[once].Condition == "service_completed_successfully" {
					return true
				}
			}
		}
		return false
	}
	for name, s := range f.Services {
		switch {
		case slices.Equal(s.Profiles, []string{"tools"}):
		case strings.HasPrefix(name, "setup"), strings.HasPrefix(name, "streams"):
			for _, profile := range []string{"single", "cluster"} {
				if (len(s.Profiles) == 0 || slices.Contains(s.Profiles, profile)) && !waitedFor(name, profile) {
					t.Errorf("profile %s: %s ends, and nothing waits for that", profile, name)
				}
			}
		case s.Restart != "unless-stopped":
			t.Errorf("%s is started again %q, want unless-stopped", name, s.Restart)
		}
		for other := range s.DependsOn {
			for _, profile := range s.Profiles {
				if p := f.Services[other].Profiles; len(p) > 0 && !slices.Contains(p, profile) {
					t.Errorf("%s waits for %s, which is not there in %s", name, other, profile)
				}
			}
		}
	}
}

// Sandbox payments cost nothing, so the sandbox must be explicit and optional.
func TestCompose_EnablesTheSandboxWhereNeeded(t *testing.T) {
	for name, s := range readComposeFile(t).Services {
		base, want := identityOf(name), ""
		if base == "gateway" || base == "payments" {
			want = "${LONJA_SANDBOX:-true}"
		}
		if got := s.Environment["LONJA_SANDBOX"]; got != want {
			t.Errorf("%s: LONJA_SANDBOX is %q, want %q", name, got, want)
		}
		if base == "gateway" && !strings.Contains(s.Environment["LONJA_PUBLIC_URL"], "http://127.0.0.1:8080") {
			t.Errorf("%s is not told where customers reach it", name)
		}
	}
}

// A new volume takes its owner from the image's folder, so there must be a folder
// for every identity.
func TestCompose_EveryIdentityHasAVolumeAndAFolder(t *testing.T) {
	f := readComposeFile(t)
	var want, mounted []string
	for _, identity := range shop.Identities(harness.Config, harness.Streams(t)) {
		want = append(want, identity.Name)
	}
	slices.Sort(want)
	for _, setup := range []string{"setup", "setup-cluster"} {
		mounted = nil
		for _, v := range f.Services[setup].Volumes {
			if volume, at, _ := strings.Cut(v, ":"); volume != "config" {
				name := strings.TrimPrefix(volume, "keys-")
				mounted = append(mounted, name)
				if _, ok := f.Volumes[volume]; !ok || at != "/setup/keys/"+name {
					t.Errorf("%s mounts %s", setup, v)
				}
			}
		}
		slices.Sort(mounted)
		if !slices.Equal(mounted, want) {
			t.Errorf("%s mounts the keys of %v; there are %v", setup, mounted, want)
		}
	}
	folders := regexp.MustCompile(`for identity in ([a-z ]+);`).FindStringSubmatch(harness.ReadFile(t, "Dockerfile"))
	if folders == nil || !slices.Equal(strings.Fields(folders[1]), want) {
		t.Errorf("the Dockerfile makes folders for %q; there are %v", folders, want)
	}
}

// The containers must run the NATS server that the tests run on.
func TestDockerfile_UsesTheVersionsOfGoMod(t *testing.T) {
	mod := harness.ReadFile(t, "go.mod")
	for image, pattern := range map[string]string{
		"golang:": `(?m)^go (\d+\.\d+)`,
		"nats:":   `nats-server/v2 v(\S+)`,
	} {
		version := regexp.MustCompile(pattern).FindStringSubmatch(mod)[1]
		if bases := baseImages(t); !slices.Contains(bases, image+version) {
			t.Errorf("go.mod says %s, the Dockerfile begins with %v", version, bases)
		}
	}
}
