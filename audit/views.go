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

// checkViews rebuilds every view and compares it with the file in each replica's
// folder, at the positions that the file's checkpoint holds.
func (a *audit) checkViews(ctx context.Context) error {
	if a.Dir == "" {
		return nil
	}
	if _, err := os.Stat(a.Dir); err != nil {
		return fmt.Errorf("views folder: %w", err)
	}
	for _, s := range a.Services {
		for _, v := range s.Views {
			if err := a.checkView(ctx, s.Name, v); err != nil {
				return fmt.Errorf("view %s/%s: %w", s.Name, v.Name(), err)
			}
		}
	}
	if len(a.report.Views) == 0 {
		return fmt.Errorf("there are no views in %s: give the data folder of the services", a.Dir)
	}
	return nil
}

// comparison compares one view's files of all replicas with the rebuilt view.
type comparison struct {
	*audit
	view    *projection.View
	dir     string            // temporary folder
	rebuilt map[string]string // paths of rebuilt views, by position
}

func (a *audit) checkView(ctx context.Context, service string, v *projection.View) (err error) {
	folders, err := filepath.Glob(filepath.Join(a.Dir, service, "*"))
	if err != nil {
		return err
	}
	c := comparison{audit: a, view: v, rebuilt: map[string]string{}}
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
		summary.Note = "has no file with the current schema"
		return nil
	}
	own := filepath.Join(c.dir, filepath.Base(folder)+".db")
	if err := copyFile(ctx, files[0], own); err != nil {
		if _, gone := os.Stat(files[0]); errors.Is(gone, os.ErrNotExist) {
			summary.Note = "was replaced during the audit; audit again"
			return nil
		}
		c.violate(Violation{Check: Views, View: summary.View, Problem: "cannot be read: " + err.Error()})
		return nil
	}
	defer os.Remove(own)
	db, err := open(own, "")
	if err != nil {
		return err
	}
	defer db.Close()
	position, sound, err := c.checkCheckpoints(ctx, db, summary)
	if err != nil {
		return err
	}
	if !sound {
		summary.Note = "not compared: it was built from another log"
		return nil
	}
	rebuilt, err := c.replay(ctx, position)
	if err != nil {
		return err
	}
	d := diff{db: db, report: func(format string, args ...any) {
		c.violate(Violation{Check: Views, View: summary.View, Problem: fmt.Sprintf(format, args...)})
	}}
	summary.Rows, err = d.compare(ctx, rebuilt)
	return err
}

// checkCheckpoints returns a file's position on the streams. Sound reports whether
// the log holds the event at that position which the view saw.
func (c *comparison) checkCheckpoints(ctx context.Context, db *sql.DB, summary *ViewSummary) (position projection.Token, sound bool, err error) {
	rows, err := db.QueryContext(ctx, "SELECT stream, sequence, event FROM checkpoint")
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	position, sound = projection.Token{}, true
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
				Problem: fmt.Sprintf("the view saw event %q, but the log holds %q", event, at.ID)})
		}
		position[stream] = seq
	}
	return position, sound, errors.Join(rows.Err(), c.checkLag(ctx, position, summary))
}

// checkLag counts the events that the view has not applied yet.
func (c *comparison) checkLag(ctx context.Context, position projection.Token, summary *ViewSummary) error {
	for _, src := range c.view.Sources() {
		behind, err := pending(ctx, c.JetStream, src, position[src.Stream])
		if err != nil {
			return err
		}
		if summary.Behind += behind; behind > 0 {
			c.violateIfSettled(Violation{Stream: src.Stream, Entity: "view " + summary.View, Problem: fmt.Sprintf("is %d events behind", behind)})
		}
	}
	return nil
}

// pending returns the number of messages that a source has after a sequence.
func pending(ctx context.Context, js jetstream.JetStream, src projection.Source, after uint64) (uint64, error) {
	cons, err := js.OrderedConsumer(ctx, src.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: src.Subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		InactiveThreshold: time.Second})
	if err != nil {
		return 0, err
	}
	return cons.CachedInfo().NumPending, nil
}

// replay builds the view from the log up to a position. Replicas at the same
// position share the result.
func (c *comparison) replay(ctx context.Context, position projection.Token) (path string, err error) {
	if path, done := c.rebuilt[position.String()]; done {
		return path, nil
	}
	path = filepath.Join(c.dir, fmt.Sprintf("rebuilt-%d.db", len(c.rebuilt)))
	c.rebuilt[position.String()] = path
	return path, c.view.Replay(ctx, projection.Config{JetStream: c.JetStream, Log: c.log}, path, position)
}

// copyFile checks a view's file for damage and copies a snapshot of it. The service
// may be writing to it. copyFile does not change the file. If no service has it
// open, SQLite leaves an empty -wal and a -shm file next to it, which are harmless.
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
		return errors.New("the file is damaged: " + found)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return err
}

func open(path, options string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(5000)"+options)
	if err == nil {
		db.SetMaxOpenConns(1) // ATTACH holds for one connection only
	}
	return db, err
}
