#!/bin/sh
# One worker. It resumes the run where there is one. Add what makes scn-tf known here, such as: . .venv/bin/activate
resume=
if [ -e @settings@ ]; then resume=--resume; fi
exec @train@ $resume < /dev/null
