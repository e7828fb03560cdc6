package projection

import "context"

// A view can be opened long after it was closed, or with an old copy of its file. It then has a choice:
// to follow its streams from its checkpoint, as always, or to build its rows anew. A build has one
// transaction, no journal, and creates indexes last, so it reads about twice as many events a second
// as a view that catches up, and one that catches up gets slower as its file grows. So a build ends
// first if more than about half of the log is left. It also needs as much disk again, and
// leaves the present rows as old as they are until it ends, so it begins at two thirds.

// minFarBehind is the number of events up to which a view is never far behind: it has caught up within
// seconds.
const minFarBehind = 50_000

// isFarBehind reports whether reading all events of a log takes less time in a build than the rest
// of them takes a view that follows.
func isFarBehind(rest, log uint64) bool { return rest > minFarBehind && rest > log/3*2 }

// IsFarBehind reports whether the rows that answer are so far behind the streams that others are being
// built instead of following. They miss most of what happened, unlike those that a rebuild
// replaces otherwise.
func (v *View) IsFarBehind() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.farBehind
}

// overtake builds rows anew if those of a database that was opened are far behind. It is tried
// once: if there is no room for two files, or the build fails otherwise, the rows that are there follow.
func (v *View) overtake(ctx context.Context, db *database) (tried bool, err error) {
	if db.measured {
		return false, nil
	}
	db.measured = true
	far, err := db.isFarBehind(ctx)
	if err != nil && ctx.Err() == nil {
		v.config.Logger.Warn("it is unknown how far behind a view is, so it follows its streams", "view", v.def.Name, "reason", err)
	}
	if err != nil || !far {
		return false, nil
	}
	v.config.Logger.Info("a view is so far behind that it is built anew", "view", v.def.Name)
	v.setFarBehind(true)
	defer v.setFarBehind(false)
	return true, v.rebuild(ctx, nil)
}

func (v *View) setFarBehind(far bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.farBehind = far
}

// isFarBehind compares how far the streams have got since the rows with how far they have got at all.
// A view may read few of their events, but then a build of all of them is short, too. They are not
// counted: on a stream of millions of subjects that takes the server seconds, at the worst moment.
func (d *database) isFarBehind(ctx context.Context) (bool, error) {
	var rest, log uint64
	for _, c := range d.consumers {
		end, err := d.config.Log.End(ctx, c.source.Stream)
		if err != nil {
			return false, err
		}
		rest, log = rest+end-min(end, c.position.Load()), log+end
	}
	return isFarBehind(rest, log), nil
}
