from django.db import migrations, models

# As in 0004, with one kind more.
STEP = """
CREATE OR REPLACE FUNCTION agents_step_is_sound(kind text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN kind IN (
        'plan', 'model', 'observe', 'answer', 'route', 'delegate', 'gather', 'recall', 'summary', 'verify', 'message',
        'steer'{more}
    );
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("agents", "0005_tool_sources_credentials")]

    operations = [
        migrations.RunSQL(STEP.format(more=", 'call'"), STEP.format(more="")),
        migrations.AlterField(
            model_name="step",
            name="kind",
            field=models.CharField(
                choices=[
                    ("plan", "Plan"),
                    ("model", "Model"),
                    ("observe", "Observe"),
                    ("answer", "Answer"),
                    ("route", "Route"),
                    ("delegate", "Delegate"),
                    ("gather", "Gather"),
                    ("recall", "Recall"),
                    ("summary", "Summary"),
                    ("verify", "Verify"),
                    ("message", "Message"),
                    ("call", "Call"),
                    ("steer", "Steer"),
                ],
                max_length=16,
            ),
        ),
    ]
