package projection

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"lonja/kit/eventlog"
)

// Files returns the paths of the finished databases in a replica's directory that belong to
// this definition, the newest first, which is the one that serves. It changes nothing and
// needs no Open.
func (v *View) Files(dir string) ([]string, error) {
	files, _, err := newDBDir(dir, v.def.Name).list()
	var paths []string
	for _, f := range files {
		if f.hash == v.def.hash() {
			paths = append(paths, f.path)
		}
	}
	return paths, err
}

// Replay builds the rows in a database of its own at path, from the events up to exactly
// the sequences in through. It does not read a stream that through does not name. It needs
// no Open, and touches neither the view's files nor its durable consumers. Of config, only
// JetStream and Log are required. Without a DeadLetter function, messages that are not
// events are skipped. On an error it removes the file.
func (v *View) Replay(ctx context.Context, config Config, path string, through Token) (err error) {
	config.Dir = filepath.Dir(path)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.DeadLetter == nil {
		config.DeadLetter = func(context.Context, eventlog.Record) error { return nil }
	}
	def := v.def
	def.spread(config.Log.Layout)
	db := &database{dbFile: dbFile{path: path, hash: def.hash()}, def: &def, config: &config, onCommit: func([]KeyChange) {}, awaited: func() bool { return false }}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close(), removeDatabase(db.path))
		}
	}()
	if err := db.create(); err != nil {
		return err
	}
	var named []*consumer
	for _, c := range db.consumers {
		if c.stopAt = through[c.source.Stream]; c.stopAt > 0 {
			named = append(named, c)
		}
	}
	db.consumers = named
	filling := db.startConsumers(ctx)
	for _, c := range named {
		if err := filling.wait(ctx, c.caughtUp); err != nil {
			filling.stop()
			return err
		}
	}
	filling.stop()
	return db.finish()
}
