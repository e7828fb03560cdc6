package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite" // the driver

	"lonja/kit/projection"
)

// checkViews makes every view anew and compares it with its file in every
// replica's folder, at the sequences that the file stands at.
func (a *audit) checkViews(ctx context.Context) error {
	if a.Dir == "" {
		return nil
	}
	if _, err := os.Stat(a.Dir); err != nil {
		return fmt.Errorf("the folder of the views: %w", err)
	}
	for _, s := range a.Services {
		for _, v := range s.Views {
			if err := a.checkView(ctx, s.Name, v); err != nil {
				return fmt.Errorf("view %s/%s: %w", s.Name, v.Name(), err)
			}
		}
	}
	if len(a.report.Views) == 0 {
		return fmt.Errorf("there are no views under %s", a.Dir)
	}
	return nil
}

// comparison is one view, anew, and its files of all replicas.
type comparison struct {
	*audit
	view *projection.View
	dir  string            // of files that are thrown away
	anew map[string]string // what was made anew: sequences -> path
}

func (a *audit) checkView(ctx context.Context, service string, v *projection.View) (err error) {
	folders, err := filepath.Glob(filepath.Join(a.Dir, service, "*"))
	if err != nil {
		return err
	}
	c := comparison{audit: a, view: v, anew: map[string]string{}}
	if c.dir, err = os.MkdirTemp("", "lonja-audit-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	for _, folder := range folders {
		summary := ViewSummary{View: service + "/" + filepath.Base(folder) + "/" + v.Name()}
		if err := c.checkFile(ctx, folder, &summary); err != nil {
			return err
		}
		a.report.Views = append(a.report.Views, summary)
	}
	return nil
}

func (c *comparison) checkFile(ctx context.Context, folder string, summary *ViewSummary) error {
	files, err := c.view.Files(folder)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		summary.Note = "has no file of the current schema"
		return nil
	}
	own := filepath.Join(c.dir, filepath.Base(folder)+".db")
	if err := copyFile(ctx, files[0], own); err != nil {
		if _, gone := os.Stat(files[0]); errors.Is(gone, os.ErrNotExist) {
			summary.Note = "was replaced meanwhile; audit again"
			return nil
		}
		c.violate(Violation{Check: Views, View: summary.View, Problem: "its file is of no use: " + err.Error()})
		return nil
	}
	defer os.Remove(own)
	db, err := open(own, "")
	if err != nil {
		return err
	}
	defer db.Close()
	stands, sound, err := c.checkCheckpoints(ctx, db, summary)
	if err != nil {
		return err
	}
	if !sound {
		summary.Note = "not compared: it was made of another log"
		return nil
	}
	anew, err := c.replay(ctx, stands)
	if err != nil {
		return err
	}
	d := diff{db: db, tell: func(format string, args ...any) {
		c.violate(Violation{Check: Views, View: summary.View, Problem: fmt.Sprintf(format, args...)})
	}}
	summary.Rows, err = d.compare(ctx, anew)
	return err
}

// checkCheckpoints tells where a file stands on the streams. It is sound when
// the log has there what the view saw.
func (c *comparison) checkCheckpoints(ctx context.Context, db *sql.DB, summary *ViewSummary) (stands projection.Token, sound bool, err error) {
	rows, err := db.QueryContext(ctx, "SELECT stream, sequence, event FROM checkpoint")
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	stands, sound = projection.Token{}, true
	for rows.Next() {
		var stream, event string
		var seq uint64
		if err := rows.Scan(&stream, &seq, &event); err != nil {
			return nil, false, err
		}
		at, err := c.log.At(ctx, stream, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, false, err
		}
		if err != nil || at.ID != event {
			sound = false
			c.violate(Violation{Check: Views, Stream: stream, Sequence: seq, Entity: "view " + summary.View,
				Problem: fmt.Sprintf("the view saw %q here, the log has %q", event, at.ID)})
		}
		stands[stream] = seq
	}
	return stands, sound, errors.Join(rows.Err(), c.checkLag(ctx, stands, summary))
}

// checkLag counts the events that are not in the rows yet.
func (c *comparison) checkLag(ctx context.Context, stands projection.Token, summary *ViewSummary) error {
	for _, src := range c.view.Sources() {
		behind, err := pending(ctx, c.JetStream, src, stands[src.Stream])
		if err != nil {
			return err
		}
		if summary.Behind += behind; behind > 0 {
			c.unsettled(Violation{Stream: src.Stream, Entity: "view " + summary.View, Problem: fmt.Sprintf("is %d facts behind", behind)})
		}
	}
	return nil
}

// pending is how many messages a source has after a sequence.
func pending(ctx context.Context, js jetstream.JetStream, src projection.Source, after uint64) (uint64, error) {
	cons, err := js.OrderedConsumer(ctx, src.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: src.Subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		InactiveThreshold: time.Second})
	if err != nil {
		return 0, err
	}
	return cons.CachedInfo().NumPending, nil
}

// replay makes the view out of the log up to where a file stands. Replicas
// that stand at the same place share it.
func (c *comparison) replay(ctx context.Context, stands projection.Token) (path string, err error) {
	if path, made := c.anew[stands.String()]; made {
		return path, nil
	}
	path = filepath.Join(c.dir, fmt.Sprintf("anew-%d.db", len(c.anew)))
	c.anew[stands.String()] = path
	return path, c.view.Replay(ctx, projection.Config{JetStream: c.JetStream, Log: c.log}, path, stands)
}

// copyFile copies a view's file as it is at one moment, while the service
// writes it, after looking for damage. It writes nothing to it; beside one that
// no service has open SQLite leaves an empty -wal and a -shm, which do no harm.
func copyFile(ctx context.Context, from, to string) error {
	db, err := open(from, "&mode=ro")
	if err != nil {
		return err
	}
	defer db.Close()
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return errors.New("it is damaged: " + found)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return err
}

func open(path, options string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(5000)"+options)
	if err == nil {
		db.SetMaxOpenConns(1) // so that what is attached stays attached
	}
	return db, err
}
