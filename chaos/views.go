package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// damage is a way to damage the files of a replica's views.
type damage struct {
	name string
	do   func(dir string) error
}

// viewsDamaged damages the views of one replica after another while it is down, in
// several ways. The damage must be detected and the views rebuilt.
func viewsDamaged(ctx context.Context, t *trial) {
	old := t.dir + "-old"
	defer os.RemoveAll(old)
	orders := t.parts["orders-b"]
	orders.kill()
	if !t.must(os.CopyFS(old, os.DirFS(t.viewsOf(orders)))) || !t.must(orders.start()) {
		return
	}
	damages := []damage{
		{"deleted", os.RemoveAll},
		{"cut in half", eachView(func(path string, size int64) error { return os.Truncate(path, size/2) })},
		{"overwritten", eachView(overwrite)},
		{"an old copy", func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.CopyFS(dir, os.DirFS(old))
		}},
	}
	var restarts restarts
	for _, h := range damages {
		for _, p := range t.named("orders-b", "payments-b", "inventory-b", "catalog-b", "identity-b") {
			if h.name == "an old copy" && p != orders {
				continue
			}
			pause(ctx, 300*time.Millisecond)
			p.kill()
			if !t.must(h.do(t.viewsOf(p))) || !restarts.start(t, p) {
				t.fail("%s does not start with views that are %s", p.name, h.name)
				return
			}
			if !t.must(eventually(ctx, restTimeout, t.ready)) {
				return
			}
		}
	}
	restarts.report(t, "damaged folders of views")
}

// viewsOf returns the folder of a replica's views.
func (t *trial) viewsOf(p *part) string {
	service, replica, _ := strings.Cut(p.name, "-")
	return filepath.Join(t.data(), service, replica)
}

// eachView damages every SQLite file of a folder.
func eachView(damage func(path string, size int64) error) func(string) error {
	return func(dir string) error {
		return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".db") {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return damage(path, info.Size())
		})
	}
}

// overwrite overwrites the middle half of a file with garbage.
func overwrite(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	garbage := []byte(strings.Repeat("nonsense", int(size/16)))
	_, err = f.WriteAt(garbage, size/4)
	return err
}
