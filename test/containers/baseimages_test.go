package containers

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lonja/kit/natsembed"
	"lonja/test/harness"
)

// The tests build and run the images from Dockerfile and compose.yaml unchanged. If
// a base image can neither be found nor pulled, a replacement that is made from this
// machine's Go takes its name while the test runs.

// lockEngine waits until no other run of these tests uses this machine's engine,
// because all runs share the names of the base images.
func lockEngine(t *testing.T) {
	t.Helper()
	harness.Within(t, 8*time.Minute, func() error {
		release, err := natsembed.LockDir(filepath.Dir(buildCache(t)))
		if err == nil {
			t.Cleanup(release)
		}
		return err
	})
}

// baseImage describes the replacement of a base image.
type baseImage struct {
	config []string // Dockerfile instructions
	write  func(t *testing.T, w *archive)
}

var standIns = map[string]baseImage{
	"golang": {[]string{"ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOCACHE=/cache GOPROXY=off GOTOOLCHAIN=local", "WORKDIR /go"}, golangImage},
	"nats":   {[]string{"ENV PATH=/bin:/", `ENTRYPOINT ["/nats-server"]`, `CMD ["--config", "nats-server.conf"]`}, natsImage},
}

// requireBaseImages provides every base image of the Dockerfile.
func requireBaseImages(t *testing.T) {
	t.Helper()
	for _, base := range baseImages(t) {
		if exec.Command("docker", "image", "inspect", base).Run() == nil || exec.Command("docker", "pull", base).Run() == nil {
			continue
		}
		name, _, _ := strings.Cut(base, ":")
		made, ok := standIns[name]
		if !ok {
			t.Fatalf("%s cannot be pulled, and nothing is known that could stand in for it", base)
		}
		t.Logf("STAND-IN: %s cannot be pulled; one that is made of this machine's own files takes its name for now", base)
		made.importAs(t, base)
		t.Cleanup(func() { removeWithStages(base) })
	}
}

// removeWithStages removes an image and the stages that the classic builder built
// on it.
func removeWithStages(base string) {
	id, _ := exec.Command("docker", "image", "inspect", "--format", "{{.Id}}", base).Output()
	nameless, _ := exec.Command("docker", "image", "ls", "-q", "--filter", "dangling=true").Output()
	for _, image := range strings.Fields(string(nameless)) {
		history, _ := exec.Command("docker", "history", "-q", "--no-trunc", image).Output()
		if strings.Contains(string(history), strings.TrimSpace(string(id))) {
			_ = exec.Command("docker", "image", "rm", image).Run()
		}
	}
	_ = exec.Command("docker", "image", "rm", base).Run()
}

// baseImages returns the base images of the Dockerfile.
func baseImages(t *testing.T) []string {
	t.Helper()
	dockerfile := harness.ReadFile(t, "Dockerfile")
	args := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ARG (\w+)=(\S+)$`).FindAllStringSubmatch(dockerfile, -1) {
		args[m[1]] = m[2]
	}
	var bases []string
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+:\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		bases = append(bases, os.Expand(m[1], func(name string) string { return args[name] }))
	}
	if len(bases) != 2 {
		t.Fatalf("the Dockerfile begins with %v", bases)
	}
	return bases
}

func (s baseImage) importAs(t *testing.T, name string) {
	t.Helper()
	args := []string{"import"}
	for _, change := range s.config {
		args = append(args, "--change", change)
	}
	cmd := exec.Command("docker", append(args, "-", name)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &archive{t: t, w: tar.NewWriter(in), written: map[string]bool{}}
	s.write(t, a)
	if err := errors.Join(a.w.Close(), in.Close(), cmd.Wait()); err != nil {
		t.Fatalf("docker import %s: %v\n%s", name, err, out.String())
	}
}

// buildCache returns a separate Go build cache, which holds only what an image needs.
func buildCache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "lonja-test", "go-build")
}

// buildLikeImage builds a program with the flags of the Dockerfile.
func buildLikeImage(t *testing.T, pkg string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "program")
	goRun(t, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s", "-o", path, pkg)
	return path
}

func goRun(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOCACHE="+buildCache(t))
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// golangImage adds a Go toolchain, the module and build caches, and a shell for RUN.
func golangImage(t *testing.T, a *archive) {
	buildLikeImage(t, "lonja/cmd/lonja")
	var env struct{ GOROOT, GOMODCACHE string }
	mustDecode(t, goRun(t, "env", "-json"), &env)
	for _, part := range []string{"VERSION", "go.env", "bin/go", "lib", "pkg/tool", "pkg/include", "src"} {
		a.add(filepath.Join(env.GOROOT, part), "usr/local/go/"+part, func(path string) bool {
			return strings.HasSuffix(path, "/testdata") || strings.HasSuffix(path, "/src/cmd") || strings.HasSuffix(path, "_test.go")
		})
	}
	zips := map[string]bool{}
	for _, m := range regexp.MustCompile(`"Zip": "(.+)"`).FindAllSubmatch(goRun(t, "mod", "download", "-json"), -1) {
		zips[string(m[1])] = true
	}
	a.add(env.GOMODCACHE+"/cache/download", "go/pkg/mod/cache/download", func(path string) bool {
		ext := filepath.Ext(path)
		return (ext == ".zip" || ext == ".ziphash") && !zips[strings.TrimSuffix(path, "hash")] || ext == ".lock" || strings.HasSuffix(path, "/sumdb")
	})
	a.add(buildCache(t), "cache", nil)
	a.program("sh")
	a.program("mkdir")
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"} {
		if _, err := os.Stat(path); err == nil {
			a.add(path, "etc/ssl/certs/ca-certificates.crt", nil)
			break
		}
	}
	a.folder("tmp")
	a.folder("root")
}

// natsImage adds the NATS server of the version in go.mod.
func natsImage(t *testing.T, a *archive) {
	a.add(buildLikeImage(t, "github.com/nats-io/nats-server/v2"), "nats-server", nil)
}

func mustDecode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// archive writes a root filesystem.
type archive struct {
	t       *testing.T
	w       *tar.Writer
	written map[string]bool
}

// add copies a file, or a folder without what leaveOut matches.
func (a *archive) add(from, to string, leaveOut func(path string) bool) {
	a.t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case leaveOut != nil && leaveOut(path) && d.IsDir():
			return fs.SkipDir
		case leaveOut != nil && leaveOut(path) || d.IsDir():
			return nil
		}
		inside, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return a.file(path, filepath.Join(to, inside))
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) file(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	a.folder(filepath.Dir(to))
	header := &tar.Header{Name: to, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime(), Typeflag: tar.TypeReg}
	if err := a.w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(a.w, f)
	return err
}

func (a *archive) folder(path string) {
	a.t.Helper()
	if path == "." || a.written[path] {
		return
	}
	a.folder(filepath.Dir(path))
	a.written[path] = true
	if err := a.w.WriteHeader(&tar.Header{Name: path + "/", Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
		a.t.Fatal(err)
	}
}

// program copies a program to /bin, and the libraries that it is linked with.
func (a *archive) program(name string) {
	a.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		a.t.Fatal(err)
	}
	a.add(path, "bin/"+name, nil)
	linked, err := exec.Command("ldd", path).Output()
	if err != nil {
		a.t.Fatalf("ldd %s: %v", path, err)
	}
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(linked), -1) {
		if !a.written[library] {
			a.written[library] = true
			a.add(library, strings.TrimPrefix(library, "/"), nil)
		}
	}
}
