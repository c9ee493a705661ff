import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STAYS = """
CREATE FUNCTION agents_rehearsal_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rehearsal IS DISTINCT FROM OLD.rehearsal THEN
        RAISE EXCEPTION 'whether a run is a rehearsal never changes' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rehearsal_stays BEFORE UPDATE OF rehearsal ON agents_run
    FOR EACH ROW EXECUTE FUNCTION agents_rehearsal_stays();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0009_precedents"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="rehearsal",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Nothing of it reaches the world; set when made, never changed.",
            ),
        ),
        migrations.RunSQL(
            STAYS,
            "DROP TRIGGER rehearsal_stays ON agents_run; DROP FUNCTION agents_rehearsal_stays();",
        ),
        migrations.CreateModel(
            name="Rehearsal",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="rehearsed_as",
                        serialize=False,
                        to="agents.run",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("replay", "Replay"), ("fork", "Fork"), ("case", "Case")], max_length=8
                    ),
                ),
                (
                    "from_step",
                    models.IntegerField(
                        help_text="The last step of the other run that it begins with.", null=True
                    ),
                ),
                (
                    "changes",
                    models.JSONField(
                        default=dict, help_text="instructions, model, input, result, live_reads"
                    ),
                ),
                (
                    "answers",
                    models.JSONField(
                        default=dict, help_text="By tool, in order: what its calls are answered with."
                    ),
                ),
                ("created_at", models.DateTimeField()),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "of",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="rehearsals",
                        to="agents.run",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["replay", "fork", "case"])),
                        name="rehearsal_kind_is_known",
                    )
                ],
            },
        ),
    ]
