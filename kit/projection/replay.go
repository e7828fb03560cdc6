package projection

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"lonja/kit/eventlog"
)

// Files are the finished files in a replica's folder that hold what this
// definition makes, the one that answers first. It changes nothing.
func (v *View) Files(dir string) ([]string, error) {
	files, _, err := folderOf(dir, v.def.Name).list()
	var paths []string
	for _, f := range files {
		if f.hash == v.def.hash() {
			paths = append(paths, f.path)
		}
	}
	return paths, err
}

// Replay makes the rows in a file of their own at path, out of the events up to
// exactly where through points; a stream that it does not name is not read. It
// touches neither the view's file nor its durable consumers. Of config only
// JetStream and Log are needed: without DeadLetter what is no event is passed over.
func (v *View) Replay(ctx context.Context, config Config, path string, through Token) (err error) {
	config.Dir = filepath.Dir(path)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.DeadLetter == nil {
		config.DeadLetter = func(context.Context, eventlog.Record) error { return nil }
	}
	f := &file{found: found{path: path, hash: v.def.hash()}, def: &v.def, config: &config, moved: func([]Touch) {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close(), remove(f.path))
		}
	}()
	if err := f.begin(ctx); err != nil {
		return err
	}
	var read []*feed
	for _, one := range f.feeds {
		if one.until = through[one.source.Stream]; one.until > 0 {
			read = append(read, one)
		}
	}
	f.feeds = read
	filling := f.feed(ctx)
	for _, one := range read {
		if err := filling.wait(ctx, one.caughtUp); err != nil {
			filling.stop()
			return err
		}
	}
	filling.stop()
	return f.finish(ctx)
}
