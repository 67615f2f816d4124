"""The base class of all forms: it reads form data only."""

from typing import Any

from flask import request
from flask_wtf import FlaskForm


class SiteForm(FlaskForm):
    """A form that takes the fields of forms alone: Flask-WTF would take JSON and files for them.

    What checks the public forms is the request's origin, and those of the desk their token, before
    any is read.
    """

    class Meta:
        csrf = False

        def wrap_formdata(self, _form: FlaskForm, formdata: Any) -> Any:
            if formdata is None or hasattr(formdata, "getlist"):  # given by the view
                return formdata
            return request.form or None if request.method == "POST" else None
