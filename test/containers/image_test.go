package containers

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"lonja/test/harness"
)

// TestInContainers builds the image and runs compose.yaml, both as users do.
func TestInContainers(t *testing.T) {
	needEngine(t)
	lockEngine(t)
	requireBaseImages(t)
	image := fmt.Sprintf("lonja-test-%d", os.Getpid())
	t.Cleanup(func() {
		_ = exec.Command("docker", "image", "rm", "-f", image).Run()
	})
	docker(t, "build", "-t", image, "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc", "--build-arg", "CREATED=2026-11-24T10:00:00Z", ".")

	t.Run("cluster", clusterWithFaults)
	t.Run("image", func(t *testing.T) { t.Parallel(); checkImage(t, image) })
	t.Run("alone", func(t *testing.T) { t.Parallel(); checkImageRuns(t, image) })
	t.Run("single", singleShop)
}

// checkImage checks the content of the image.
func checkImage(t *testing.T, image string) {
	var inspected []struct {
		Config struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	mustDecode(t, []byte(docker(t, "inspect", image)), &inspected)
	c := inspected[0].Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/lonja"}) {
		t.Errorf("runs %q as %q", c.Entrypoint, c.User)
	}
	for label, want := range map[string]string{"title": "lonja", "licenses": "Apache-2.0", "version": "1.2.3", "revision": "abc", "created": "2026-11-24T10:00:00Z"} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}

	files := filesOf(t, image)
	program := files["lonja"]
	delete(files, "lonja")
	delete(files, "etc/ssl/certs/ca-certificates.crt")
	for name := range files {
		t.Errorf("%s is in the image, and nobody needs it", name)
	}
	binary, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := binary.ImportedLibraries(); len(libraries) > 0 || binary.Section(".interp") != nil {
		t.Errorf("the program is not static: needs %v (%v)", libraries, err)
	}
	// A build of the same commit in another folder must give the same bytes.
	here, err := os.ReadFile(buildLikeImage(t, "lonja/cmd/lonja"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := sha256.Sum256(program), sha256.Sum256(here); a != b && goVersion(t, image) == goVersion(t, "") {
		t.Errorf("the same source gave %x in the image and %x here", a, b)
	}
}

// goVersion returns the Go version of the program in an image, or of this machine.
func goVersion(t *testing.T, image string) string {
	t.Helper()
	if image == "" {
		return strings.TrimSpace(string(goRun(t, "env", "GOVERSION")))
	}
	path := t.TempDir() + "/lonja"
	if err := os.WriteFile(path, filesOf(t, image)["lonja"], 0o755); err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(goRun(t, "version", path))), ": ")
	return version
}

// filesOf returns the non-empty files in an image. The engine adds empty ones as
// mount points.
func filesOf(t *testing.T, image string) map[string][]byte {
	t.Helper()
	id := docker(t, "create", image)
	defer docker(t, "rm", id)
	cmd := exec.Command("docker", "export", id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	r := tar.NewReader(out)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Size > 0 {
			if files[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return files
}

// checkImageRuns runs the whole shop in one container that may only write to its
// volume.
func checkImageRuns(t *testing.T, image string) {
	name := image + "-alone"
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-f", name).Run()
		_ = exec.Command("docker", "volume", "rm", name).Run()
	})
	docker(t, "run", "-d", "--name", name, "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none",
		"-v", name+":/data", image, "up")
	harness.Within(t, 30*time.Second, func() error {
		_, err := tryCommand(nil, "docker", "exec", name, "/lonja", "healthcheck", "http://127.0.0.1:8080/readyz")
		return err
	})
	if out, err := tryCommand(nil, "docker", "exec", name, "/lonja", "healthcheck", "http://127.0.0.1:1/healthz"); err == nil {
		t.Errorf("without a server, the health check succeeds:\n%s", out)
	}
	harness.Within(t, 30*time.Second, func() error {
		var state struct{ Health struct{ Status string } }
		if err := json.Unmarshal([]byte(docker(t, "inspect", "--format", "{{json .State}}", name)), &state); err != nil || state.Health.Status != "healthy" {
			return fmt.Errorf("the engine says that it is %q (%v)", state.Health.Status, err)
		}
		return nil
	})
	docker(t, "stop", "-t", "10", name)
	if code := docker(t, "inspect", "--format", "{{.State.ExitCode}}", name); code != "0" {
		t.Errorf("stopped with exit code %s:\n%s", code, docker(t, "logs", name))
	}
}
