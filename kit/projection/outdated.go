package projection

import "time"

// outdatedInterval is the time between two deletions of outdated rows.
const outdatedInterval = time.Minute

// Outdated returns the definition's statement that deletes outdated rows, "" if there is none. Who
// compares two databases of the view runs it on both, with the same time.
func (v *View) Outdated() string { return v.def.Outdated }

// deleteOutdated deletes the outdated rows of a database, unless it did so a short while ago.
func (d *database) deleteOutdated(now time.Time) error {
	if d.def.Outdated == "" || !d.current || now.Sub(d.outdated) < outdatedInterval {
		return nil
	}
	d.write.Lock()
	defer d.write.Unlock()
	if err := d.conn.Exec(d.def.Outdated, now.UnixMicro()); err != nil {
		return err
	}
	d.outdated = now
	return nil
}

// dropOutdated deletes the outdated rows. It is tried again after an error.
func (v *View) dropOutdated(db *database) {
	if err := db.deleteOutdated(time.Now()); err != nil {
		v.config.Logger.Warn("outdated rows of a view could not be deleted; it is tried again", "view", v.def.Name, "reason", err)
	}
}
